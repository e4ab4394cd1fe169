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
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from benchmarks.bars import at_most, verdicts
from benchmarks.program import make_main
from benchmarks.record import ROOT, environment, judge, sentence, write_json
from genret.artifacts import read_manifest, write_folder
from genret.config import ItemDecoderConfig
from genret.data import synthetic, synthetic_tables
from genret.errors import GenretError
from genret.index import TrieIndex
from genret.models import build_model, num_parameters, save_model
from genret.semantic_ids import SemanticIds
from genret.tokenizers import save_codes

SEED = 0
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
CHILD = """
import sys
from benchmarks.record import peak_gib
from genret.cli.main import main
status = main(sys.argv[1:])
print("PEAK", peak_gib(), file=sys.stderr)
sys.exit(status)
"""


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


def run(options: Options, console: Console) -> None:
    """Measure the parts and say how they stand against the bars."""
    document: dict[str, Any] = {"environment": environment()}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if "job" in options.parts:
            figures = job(
                make_run(scratch / "run", MODELS["0.9M"]), scratch, options.users, options.beams
            )
            document["job"] = figures | {"bars": verdicts(figures, BARS)}
            console.print(f"{figures['users_per_second']:,.0f} users/s, {figures['model']}")
            for name, bar in document["job"]["bars"].items():
                console.print(sentence(name, bar))
        if "memory" in options.parts:
            small = make_run(scratch / "small", MODELS["small"])
            document["memory"] = []
            for users in options.memory_users:
                figures = job(small, scratch, users, 8, k=5)
                document["memory"].append(figures)
                speed = f"{figures['users_per_second']:,.0f} users/s"
                console.print(f"{users:,} users: {figures['peak_gib']:.2f} GiB, {speed}")
        if "ray" in options.parts and importlib.util.find_spec("ray"):
            document["ray"] = on_ray(scratch, options)
            console.print(sentence("time on Ray over time here", document["ray"]["bar"]))
        elif "ray" in options.parts:
            console.print("ray: left out, it is not installed")
    if options.out is not None:
        write_json(options.out, document)


def make_run(folder: Path, architecture: dict[str, Any]) -> Path:
    """Make a run of an Office-like catalog with drawn codes and a model that nobody trained."""
    catalog, histories = synthetic(2000, ITEMS, EVENTS, seed=SEED)
    with write_folder(folder / "catalog", "catalog") as scratch:
        catalog.save(scratch)
        histories.save(scratch)
    codes = np.random.default_rng(SEED).integers(0, SIZES[0], (ITEMS, len(SIZES)))
    inputs = {"catalog": read_manifest(folder / "catalog").fingerprint}
    semantic_ids = SemanticIds.from_codes(codes, codes_per_level=SIZES)
    save_codes(folder / "codes", semantic_ids, inputs=inputs)
    inputs = {"codes": read_manifest(folder / "codes").fingerprint}
    with write_folder(folder / "index", "index", inputs=inputs) as scratch:
        TrieIndex.from_codes(codes, catalog.item_ids, codes_per_level=SIZES).write(scratch)
    model = build_model(ItemDecoderConfig(codes_per_level=SIZES, **architecture), SEED)
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


def job(run: Path, scratch: Path, users: int, beams: int, k: int = 10) -> dict[str, Any]:
    """Score in a process of its own; return the figures of its manifest and its memory."""
    data = make_histories(scratch / f"in-{users}", users)
    out = scratch / f"out-{run.name}-{users}"
    summary, peak, seconds = score_in_process(run, data, out, users, k, beams)
    kept = ("users", "seconds", "users_per_second", "padding_waste", "users_per_batch", "programs")
    parameters = read_manifest(run / "model").summary["parameters"]
    return {
        **{name: summary[name] for name in kept},
        "wall_seconds": seconds,
        "peak_gib": peak,
        "beams": beams,
        "model": f"ItemDecoder of {parameters:,} parameters",
    }


def on_ray(scratch: Path, options: Options) -> dict[str, Any]:
    """Score on one process and on three scorers of Ray; compare content and times.

    Times are from the start of the process to its end: loading, compiling and Ray itself are in.
    """
    users, run = options.ray_users, make_run(scratch / "run-ray", MODELS["0.9M"])
    data = make_histories(scratch / "in-ray", users, shard=max(1, users // 24))
    cores = str(min(1.0, (os.cpu_count() or 1) / 4))  # three scorers, whatever the machine has
    on_ray = ("--engine", "ray", "--workers", "3", "--cpus-per-worker", cores)
    seconds, content = {}, set()
    for name, engine in {"local": (), "ray": on_ray}.items():
        out = scratch / f"out-{name}"
        _, _, seconds[name] = score_in_process(run, data, out, users, 10, options.beams, *engine)
        content.add(read_manifest(out).fingerprint)
    if len(content) > 1:
        raise GenretError("ray: found another content than that of one process, expected the same")
    bar = judge(seconds["ray"] / seconds["local"], 1.25, at_most=True)
    return {"users": users, "seconds": seconds, "bar": bar}


def score_in_process(
    run: Path, data: Path, out: Path, users: int, k: int, beams: int, *engine: str
) -> tuple[dict[str, Any], float, float]:
    """Run ``genret score``; return the summary of its manifest, its memory in GiB, and seconds."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "score", str(run), "--histories", str(data), "--out",
         str(out), "--k", str(k), "--beams", str(beams), "--exclude-seen", "--json", *engine],
        cwd=ROOT, capture_output=True, text=True, check=False,
        # Nothing that an earlier job compiled is there.
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(out) + "-cache"},
    )  # fmt: skip
    seconds = time.perf_counter() - start
    if done.returncode:
        raise GenretError(f"job: found exit status {done.returncode}: {done.stderr[-500:]}")
    summary = json.loads(done.stdout)["summary"]
    if summary["users"] != users:
        raise GenretError(f"job: found {summary['users']} users, expected {users}")
    peak = next(x for x in done.stderr.splitlines() if x.startswith("PEAK"))
    return summary, float(peak.split()[1]), seconds


main = make_main("benchmarks.scoring", Options, run)

if __name__ == "__main__":
    sys.exit(main())
