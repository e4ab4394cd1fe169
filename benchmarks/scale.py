"""Past one device: training on meshes and an index in parts, on devices that share this machine.

    python -m benchmarks.scale --json benchmarks/results/scale.json
    python -m benchmarks.scale --json FILE --smoke

The devices are eight that XLA makes of one CPU: what is measured is equality, work and bytes, not
the seconds that eight devices would take. A bar that was not measured is not among ``"bars"``, and
``"not_measured"`` says so.
"""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

DEVICES = 8
if __name__ == "__main__":  # before the first import of jax
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES} {flags}"
    os.environ["JAX_PLATFORMS"] = "cpu"

import tyro
from rich.console import Console

from benchmarks import mesh_points, random_tries, shard_points
from benchmarks.bars import Bar, at_most, evaluate, over
from benchmarks.constraint import show
from benchmarks.record import Record, environment
from benchmarks.shard_points import Size

BARS = (
    at_most("mesh_relative_difference", over("mesh", "relative_difference"), 1e-5),
    at_most("shards_wrong", over("shards", "wrong", sum), 0),
    Bar("shards_tries", over("shards", "tries", sum)),
    at_most("part_over_share", over("index", "part_over_share"), 1.05),
    at_most("all_gathers_over_levels", over("index", "all_gathers_over_levels"), 2),
    at_most("other_messages", over("index", "other_messages", sum), 0),
)
NOT_MEASURED = ("processes_equal", "kills_equal", "training_gib_1e8", "serve_over_recommend_many")
"""Bars of the work past one machine that no part of this program measures yet."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    json: Path | None = None  # File to write.
    smoke: bool = False  # A few tries and a small index: shows that it works.
    tries: int = 1000  # Random tries that are searched in parts.
    items: int = 10_000_000  # Items of the index that is cut; 10**8 take 9 GiB.
    only: tuple[str, ...] = ()  # Some of shards, index and mesh; all if left out.


def measure(options: Options, record: Record) -> None:
    """Measure all points, then evaluate the bars."""
    size = Size(options.items, (256,) * 4, batch=2, beams=50)
    families = random_tries.FAMILIES
    tries, steps, meshes = options.tries, 50, mesh_points.MESHES
    if options.smoke:
        size, tries, steps, meshes = Size(40_000, (16,) * 4, batch=2, beams=4), 2, 3, meshes[:1]
        families = families[3:4]
    points = {
        **shard_points.tries(tries, families, DEVICES),
        **shard_points.cut(size, DEVICES),
        **mesh_points.points(meshes, steps),
    }
    for key, function in points.items():
        if not options.only or key.split()[0].rstrip(":") in options.only:
            record.point(key, function)
    evaluate(record.document, BARS)
    record.document["not_measured"] = list(NOT_MEASURED)
    record.write()


def main(options: Options) -> int:
    """Measure and show; the status says whether a bar was missed."""
    console = Console()
    heading: dict[str, Any] = {
        "preset": "smoke" if options.smoke else "bars",
        "environment": environment(),
    }
    record = Record(options.json, heading, say=console.print)
    measure(options, record)
    show(record.document, console, "Past one device")
    console.print(f"not measured: {', '.join(NOT_MEASURED)}")
    return int(not all(bar["met"] for bar in record.document["verdicts"].values()))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
