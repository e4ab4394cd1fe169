"""What a nightly job costs: users a second, padding, programs and memory.

    python -m benchmarks.scoring --out benchmarks/results/scoring.json

``job``     ``genret score`` over Office-like synthetic histories, in a process of its own
``memory``  the same with a small model, from 1e4 users on: what the process held at most
``ray``     the same job on this machine by one process, and by three scorers of a Ray cluster;
            their content must be the same. Needs ``genret[ray]``; without it the part is left out.

Beam search against ``transformers.generate`` is measured by `benchmarks.hf_generate`.
"""

import dataclasses
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from benchmarks.bars import at_most, judge, sentence, verdicts
from benchmarks.process import Figures, in_own_process, peak_gib, timed, verb
from benchmarks.program import make_main
from benchmarks.record import environment, write_json
from genret.artifacts import read_manifest, write_folder
from genret.config import ItemDecoderConfig
from genret.data import synthetic, synthetic_tables
from genret.errors import GenretError
from genret.models import build_model, num_parameters, save_model
from genret.semantic_ids import SemanticIds
from genret.tokenizers import save_codes

SIZES = (256,) * 4
"""Codes of Office's shipped semantic IDs."""
ITEMS, EVENTS = 2420, 11
"""Office's catalog and the mean length of its histories."""
SHARD = 20_000
"""Users of a shard."""
MODELS = {
    "0.9M": {"width": 160, "layers": 2, "heads": 5, "kv_heads": 5, "mlp_dim": 384},
    "small": {"width": 32, "layers": 1, "heads": 2, "kv_heads": 2, "head_dim": 16, "mlp_dim": 64},
}
BARS = (
    at_most("padding waste", lambda job: job["padding_waste"], 0.15),
    at_most("compiled programs", lambda job: len(job["programs"]), 8),
    at_most("memory, GiB", lambda job: job["peak_gib"], 2),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Measure a scoring job; see the module's docstring."""

    parts: tuple[str, ...] = ("job", "memory", "ray")  # What to measure.
    users: int = 100_000  # Users of the job.
    beams: int = 20  # Beams of the job.
    memory_users: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Users of the jobs whose memory is measured."""
    ray_users: int = 180_000
    """Users of the jobs on one process and on Ray: two minutes on two cores."""
    out: Path | None = None  # Where to write the figures as JSON.

    def main(self, console: Console) -> None:
        """Measure the parts and say how they stand against the bars."""
        document: Figures = {"environment": environment()}
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            if "job" in self.parts:
                run = make_run(scratch / "run", MODELS["0.9M"])
                figures = job(run, scratch, self.users, self.beams)
                document["job"] = figures | {"bars": verdicts(figures, BARS)}
                console.print(f"{figures['users_per_second']:,.0f} users/s, {figures['model']}")
                for name, bar in document["job"]["bars"].items():
                    console.print(sentence(name, bar))
            if "memory" in self.parts:
                small = make_run(scratch / "small", MODELS["small"])
                document["memory"] = [job(small, scratch, n, 8, k=5) for n in self.memory_users]
                for one in document["memory"]:
                    console.print(f"{one['users']:,} users: {one['peak_gib']:.2f} GiB")
            if "ray" in self.parts and importlib.util.find_spec("ray"):
                document["ray"] = on_ray(scratch, self.ray_users, self.beams)
                console.print(sentence("time on Ray over time here", document["ray"]["bar"]))
            elif "ray" in self.parts:
                console.print("ray: left out, it is not installed")
        write_json(self.out, document)


def make_run(folder: Path, architecture: dict[str, Any]) -> Path:
    """Make a run of an Office-like catalog with drawn codes and a model that nobody trained."""
    catalog, histories = synthetic(2000, ITEMS, EVENTS, seed=0)
    with write_folder(folder / "catalog", "catalog") as scratch:
        catalog.save(scratch)
        histories.save(scratch)
    codes = np.random.default_rng(0).integers(0, SIZES[0], (ITEMS, len(SIZES)))
    inputs = {"catalog": read_manifest(folder / "catalog").fingerprint}
    semantic_ids = SemanticIds.from_codes(codes, codes_per_level=SIZES)
    save_codes(folder / "codes", semantic_ids, inputs=inputs)
    verb("index", folder)
    inputs = {"codes": read_manifest(folder / "codes").fingerprint}
    model = build_model(ItemDecoderConfig(codes_per_level=SIZES, **architecture), 0)
    summary = {"parameters": num_parameters(model)}
    with write_folder(folder / "model", "model", inputs=inputs, summary=summary) as scratch:
        save_model(scratch, model)
    return folder


def make_histories(folder: Path, users: int, shard: int = SHARD) -> Path:
    """Draw Office-like histories, in shards."""
    folder.mkdir(exist_ok=True)
    for number in range(-(-users // shard)):
        count = min(shard, users - number * shard)
        events, _ = synthetic_tables(count, ITEMS, EVENTS, seed=number)
        offsets = np.searchsorted(events["user_id"].to_numpy(), np.arange(1, count + 2))
        items = events["item_id"].combine_chunks()
        lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items)
        table = pa.table({"user_id": np.arange(count) + number * shard, "items": lists})
        pq.write_table(table, folder / f"{number:04d}.parquet")
    return folder


def job(run: Path, scratch: Path, users: int, beams: int, k: int = 10) -> Figures:
    """Score in a process of its own; return the figures of its manifest and its memory."""
    data = make_histories(scratch / f"in-{users}", users)
    out = scratch / f"out-{run.name}-{users}"
    summary, own = in_own_process(score, run, data, out, users, k, beams)
    kept = ("users", "seconds", "users_per_second", "padding_waste", "users_per_batch", "programs")
    parameters = read_manifest(run / "model").summary["parameters"]
    about = {"beams": beams, "model": f"ItemDecoder of {parameters:,} parameters"}
    return {name: summary[name] for name in kept} | own | about


def on_ray(scratch: Path, users: int, beams: int) -> Figures:
    """Score on one process and on three scorers of Ray; compare content and times.

    Times are those of the verb: loading, compiling and Ray itself are in.
    """
    run = make_run(scratch / "run-ray", MODELS["0.9M"])
    data = make_histories(scratch / "in-ray", users, shard=max(1, users // 24))
    cores = min(1.0, (os.cpu_count() or 1) / 4)  # three scorers, whatever the machine has
    on_ray = ("--engine", "ray", "--workers", 3, "--cpus-per-worker", cores)
    seconds, content = {}, set()
    for name, engine in {"local": (), "ray": on_ray}.items():
        out = scratch / f"out-{name}"
        _, own = in_own_process(score, run, data, out, users, 10, beams, *engine)
        seconds[name] = own["wall_seconds"]
        content.add(read_manifest(out).fingerprint)
    if len(content) > 1:
        raise GenretError("ray: found another content than that of one process, expected the same")
    bar = judge(seconds["ray"] / seconds["local"], 1.25, at_most=True)
    return {"users": users, "seconds": seconds, "bar": bar}


def score(
    run: Path, data: Path, out: Path, users: int, k: int, beams: int, *engine: object
) -> tuple[Figures, Figures]:
    """Run ``genret score``; return the summary of its manifest, and its seconds and memory."""
    os.environ["XDG_CACHE_HOME"] = f"{out}-cache"  # nothing that an earlier job compiled is there
    figures: Figures = {}
    with timed(figures, "wall_seconds"):
        done = verb(
            "score", run, "--histories", data, "--out", out, "--k", k, "--beams", beams,
            "--exclude-seen", *engine,
        )  # fmt: skip
    if done["summary"]["users"] != users:
        raise GenretError(f"job: found {done['summary']['users']} users, expected {users}")
    return done["summary"], figures | {"peak_gib": peak_gib()}


main = make_main("benchmarks.scoring", Options)

if __name__ == "__main__":
    sys.exit(main())
