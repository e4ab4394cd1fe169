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

DEVICES = 8
if __name__ == "__main__":  # before the first import of jax
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES} {flags}"
    os.environ["JAX_PLATFORMS"] = "cpu"

from rich.console import Console

from benchmarks import histories_points, mesh_points, process_points, shard_points
from benchmarks.bars import evaluate, over
from benchmarks.program import make_main, show
from benchmarks.record import Record, environment
from benchmarks.shard_points import Size
from genret.testing import FAMILIES

BARS = (
    over("mesh_relative_difference", "mesh", "relative_difference", max, 1e-5, at_most=True),
    over("processes_equal", "processes", "equal", min, 1),
    over("kills_equal", "kills", "equal", min, 1),
    over("shards_wrong", "shards", "wrong", sum, 0, at_most=True),
    over("shards_tries", "shards", "tries", sum),
    over("part_over_share", "index", "part_over_share", max, 1.05, at_most=True),
    over("all_gathers_over_levels", "index", "all_gathers_over_levels", max, 2, at_most=True),
    over("other_messages", "index", "other_messages", sum, 0, at_most=True),
    over("training_gib_1e8", "histories: 1", "anonymous_gib", max, 3, at_most=True),
    over("training_gib_over_1e6", "histories: 1", "over_few", max, 1.2, at_most=True),
)
NOT_MEASURED = ("serve_over_recommend_many",)
"""Bars of the work past one machine that no part of this program measures yet."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    json: Path | None = None  # File to write.
    smoke: bool = False  # A few tries and a small index: shows that it works.
    tries: int = 1000  # Random tries that are searched in parts.
    items: int = 10_000_000  # Items of the index that is cut; 10**8 take 9 GiB.
    resume: bool = False  # Keep the points that the file holds.
    # Some of shards, index, mesh, histories, processes, kills; all if left out.
    only: tuple[str, ...] = ()

    def main(self, console: Console) -> int:
        """Measure all points and show the bars; the status says whether one was missed."""
        size = Size(self.items, (256,) * 4, batch=2, beams=50)
        families, tries, steps, meshes = FAMILIES, self.tries, 50, mesh_points.MESHES
        if self.smoke:
            size, tries, steps, meshes = Size(40_000, (16,) * 4, batch=2, beams=4), 2, 3, meshes[:1]
            families = families[3:4]
        preset = "smoke" if self.smoke else "bars"
        heading = {"preset": preset, "environment": environment()}
        record = Record(self.json, heading, resume=self.resume, say=console.print)
        points = {
            **shard_points.tries(tries, families, DEVICES),
            **shard_points.cut(size, DEVICES),
            **mesh_points.points(meshes, steps),
        }
        if not self.smoke:
            points |= histories_points.points(few=10**6, many=10**8)
            points |= process_points.points(kills=5, steps=100)
        for key, function in points.items():
            if not self.only or key.split()[0].rstrip(":") in self.only:
                record.point(key, function)
        evaluate(record.document, BARS)
        absent = [bar.name for bar in BARS if bar.name not in record.document["bars"]]
        record.document["not_measured"] = [*absent, *NOT_MEASURED]
        record.write()
        missed = show(record.document, [], console)
        console.print(f"not measured: {', '.join(record.document['not_measured'])}")
        return int(missed)


main = make_main("benchmarks.scale", Options)

if __name__ == "__main__":
    sys.exit(main())
