"""What a nightly job costs: users a second, padding, programs and memory.

    python -m benchmarks.scoring --json benchmarks/results/scoring.json

``job``     ``genret score`` over Office-like synthetic histories, in a process of its own
``memory``  the same with a small model, from 1e4 users on: what the process held at most
``ray``     the same job on this machine by one process, and by three scorers of a Ray cluster;
            their content must be the same. Needs ``genret[ray]``.

Beam search against ``transformers.generate`` is measured by `benchmarks.hf_generate`.
"""

import dataclasses
import functools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.bars import over
from benchmarks.process import Figures, make_run, watched
from benchmarks.program import Program, make_main
from benchmarks.record import Points
from benchmarks.tables import Columns
from genret.artifacts import read_manifest
from genret.data import synthetic_tables
from genret.errors import GenretError

ITEMS, EVENTS = 2420, 11
"""Office's catalog and the mean length of its histories."""
SHARD = 20_000
"""Users of a shard."""
MODELS = {
    "0.9M": "--width 160 --layers 2 --heads 5 --kv-heads 5 --mlp-dim 384",
    "small": "--width 32 --layers 1 --heads 2 --kv-heads 2 --head-dim 16 --mlp-dim 64",
}
"""Options of ``genret train``, by the number of parameters."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scoring(Program):
    """Measure a scoring job; see the module's docstring."""

    small: ClassVar = {"users": 60, "ray_users": 60, "beams": 10}
    name: ClassVar[str] = "benchmarks.scoring"
    title: ClassVar[str] = "Scoring"
    bars: ClassVar = [
        over("padding waste", "job", "padding_waste", max, 0.15, at_most=True),
        over("compiled programs", "job", "num_programs", max, 8, at_most=True),
        over("memory, GiB", "job", "peak_gib", max, 2, at_most=True),
        over("time on Ray over time here", "ray", "over_local", max, 1.25, at_most=True),
    ]
    columns: ClassVar[Columns] = {
        "users/s": ("users_per_second", "{:,.0f}"),
        "padding": ("padding_waste", "{:.1%}"),
        "programs": ("num_programs", "{}"),
        "peak GiB": ("peak_gib", "{:.2f}"),
        "Ray over here": ("over_local", "{:.2f}"),
    }

    users: int = 100_000  # Users of the job.
    beams: int = 20  # Beams of the job.
    ray_users: int = 180_000
    """Users of the jobs on one process and on Ray: two minutes on two cores."""

    def points(self) -> Points:
        """Score as a job, with a small model, and on Ray."""
        model = "small" if self.smoke else "0.9M"
        jobs = {f"job: {self.users:,} users": (model, self.users, self.beams, 10)}
        few = [60] if self.smoke else [10_000, 100_000, 1_000_000]
        jobs |= {f"memory: {n:,} users": ("small", n, 8, 5) for n in few}
        points: Points = {key: functools.partial(job, *own) for key, own in jobs.items()}
        key = f"ray: {self.ray_users:,} users"
        return points | {key: functools.partial(on_ray, model, self.ray_users, self.beams)}


def job(model: str, users: int, beams: int, k: int) -> Figures:
    """Score in a process of its own; return the figures of its manifest and its memory."""
    with tempfile.TemporaryDirectory() as folder:
        summary, cost, _ = score(prepare(Path(folder), model, users), users, k, beams)
    kept = ("users", "seconds", "users_per_second", "padding_waste", "users_per_batch", "programs")
    about = {"beams": beams, "model": model, "num_programs": len(summary["programs"])}
    about |= {"wall_seconds": cost["wall_s"], "peak_gib": cost["resident_gib"]}
    return {name: summary[name] for name in kept} | about


def on_ray(model: str, users: int, beams: int) -> Figures:
    """Score on one process and on three scorers of Ray; compare content and times.

    Times are those of the command: loading, compiling and Ray itself are in.
    """
    cores = min(1.0, (os.cpu_count() or 1) / 4)  # three scorers, whatever the machine has
    on_ray = ("--engine", "ray", "--workers", 3, "--cpus-per-worker", cores)
    seconds, content = {}, set()
    with tempfile.TemporaryDirectory() as folder:
        scratch = prepare(Path(folder), model, users, shard=max(1, users // 24))
        for name, engine in {"local": (), "ray": on_ray}.items():
            _, cost, fingerprint = score(scratch, users, 10, beams, *engine)
            seconds[name] = cost["wall_s"]
            content.add(fingerprint)
    if len(content) > 1:
        raise GenretError("ray: found another content than that of one process, expected the same")
    return {"users": users, "seconds": seconds, "over_local": seconds["ray"] / seconds["local"]}


def prepare(folder: Path, model: str, users: int, shard: int = SHARD) -> Path:
    """Make a run of an Office-like catalog with a model of one step, and histories in shards."""
    sizes = f"--synthetic-users 2000 --synthetic-items {ITEMS} --synthetic-events {EVENTS}"
    make_run(
        folder / "run", ingest=f"--synthetic {sizes}",
        embed="--text-dim 16 --cooccurrence-dim 16",
        tokenize="--levels 4 --codebook-size 256 --iterations 3", index="",
        train=f"{MODELS[model]} --steps 1 --batch-size 8 --eval-users 10",
    )  # fmt: skip
    (folder / "in").mkdir()
    for number, first in enumerate(range(0, users, shard)):
        count = min(shard, users - first)
        events, _ = synthetic_tables(count, ITEMS, EVENTS, seed=number)
        offsets = np.searchsorted(events["user_id"].to_numpy(), np.arange(1, count + 2))
        items = events["item_id"].combine_chunks()
        lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items)
        table = pa.table({"user_id": np.arange(count) + first, "items": lists})
        pq.write_table(table, folder / "in" / f"{number:04d}.parquet")
    return folder


def score(
    folder: Path, users: int, k: int, beams: int, *engine: object
) -> tuple[Figures, Figures, str]:
    """Run ``genret score``; return the summary and the fingerprint of its manifest, and what it cost."""
    out = folder / f"out-{len(engine)}"
    said, cost = watched(
        "-m", "genret", "score", folder / "run", "--histories", folder / "in", "--out", out,
        "--k", k, "--beams", beams, "--exclude-seen", *engine, "--json",
    )  # fmt: skip
    summary = json.loads(said)["summary"]
    if summary["users"] != users:
        raise GenretError(f"job: found {summary['users']} users, expected {users}")
    return summary, cost, read_manifest(out).fingerprint


main = make_main(Scoring)

if __name__ == "__main__":
    sys.exit(main())
