"""Past one device: meshes, an index in parts, data on disk, processes and a service, on one machine.

    python -m benchmarks.scale --json benchmarks/results/scale.json
    python -m benchmarks.scale --json FILE --smoke

The devices are eight that XLA makes of one CPU: what is measured is equality, work and bytes, not
the seconds that eight devices would take.
"""

import dataclasses
import os
import sys

DEVICES = 8
if __name__ == "__main__":  # before the first import of jax
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES} {flags}"
    os.environ["JAX_PLATFORMS"] = "cpu"

from collections.abc import Sequence
from typing import ClassVar

from benchmarks import device_points, disk_points, process_points, serve_points
from benchmarks.bars import over
from benchmarks.program import Program, make_main
from benchmarks.record import Points
from genret.testing import FAMILIES


def _spread(values: Sequence[float]) -> float | None:
    """Return the largest of several values over the smallest; None of fewer than two."""
    return max(values) / min(values) if len(values) > 1 else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale(Program):
    """Measure training on meshes, an index in parts, histories and vectors on disk; see the module's docstring."""

    name: ClassVar[str] = "benchmarks.scale"
    title: ClassVar[str] = "Past one device"
    bars: ClassVar = [
        over("mesh_relative_difference", "mesh", "relative_difference", max, 1e-5, at_most=True),
        over("processes_equal", "processes", "equal", min, 1),
        over("kills_equal", "kills", "equal", min, 1),
        over("shards_wrong", "shards", "wrong", sum, 0, at_most=True),
        over("shards_tries", "shards", "tries", sum),
        over("part_over_share", "index", "part_over_share", max, 1.05, at_most=True),
        over("all_gathers_over_levels", "index", "all_gathers_over_levels", max, 2, at_most=True),
        over("index_temporary_over_fewer", "index", "temporary_bytes", _spread, 1.05, at_most=True),
        over("other_messages", "index", "other_messages", sum, 0, at_most=True),
        over("training_gib_1e8", "histories: 100000000 ", "anonymous_gib", max, 3, at_most=True),
        over("training_gib_over_1e6", "histories: 1", "anonymous_gib", _spread, 1.2, at_most=True),
        over("tokenizing_gib_1e7", "vectors: 1", "resident_gib", max, 6, at_most=True),
        over("batches_error", "batches", "error_over_full", max, 1.02, at_most=True),
        over("batches_collisions", "batches", "collisions_over_full", max, 1.02, at_most=True),
        over("serve_over_recommend_many", "serve", "over_recommend_many", min, 0.8),
        over("serve_p99_over_p50", "serve", "p99_over_p50", max, 5, at_most=True),
        over("serve_failed", "serve", "failed", sum, 0, at_most=True),
        over("serve_overload_over_best", "serve", "overload_over_best", min, 0.8),
    ]

    tries: int = 1000  # Random tries that are searched in parts.
    items: int = 10_000_000  # Items of the index that is cut; 10**8 take 9 GiB.

    def points(self) -> Points:
        """Return the points of an index in parts, of meshes, of data on disk, of processes and of a service."""
        if self.smoke:
            return {
                **device_points.tries(2, FAMILIES[3:4]),
                **device_points.index(40_000, (16,) * 4, beams=4),
                **device_points.meshes(device_points.MESHES[:1], 3),
            }
        return {
            **device_points.tries(self.tries, FAMILIES),
            **device_points.index(self.items // 10),
            **device_points.index(self.items),
            **device_points.meshes(device_points.MESHES, 50),
            **disk_points.histories(10**6, 10**8),
            **disk_points.vectors(items=10**7, width=128, compared=10**5),
            **process_points.points(kills=5, steps=100),
            **serve_points.points("base", items=10_000, seconds=5),
            **serve_points.points("beauty", items=12_101, seconds=5),
        }


main = make_main(Scale)

if __name__ == "__main__":
    sys.exit(main())
