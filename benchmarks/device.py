"""What the attached device says: fuzz, timings and the compiler's budget, as a table for an issue.

    python -m benchmarks device --json benchmarks/results/devices/NAME.json

For people with a TPU or a GPU. The answers of random tries are held against brute force on the device, a
few searches are timed beside the other methods, and where the device is one that `accelerators` knows, its
schedule stands beside the times. The table is Markdown; files in benchmarks/results/devices are shown in
docs/benchmarks.md.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import jax
from rich.console import Console

from benchmarks import accelerators, random_tries, suite
from benchmarks.bars import over
from benchmarks.methods.static_code import use
from benchmarks.program import Program
from benchmarks.record import Points
from benchmarks.tables import Table
from benchmarks.workload import Point
from genret.testing import FAMILIES

CHIPS = {
    "TPU v5 lite": "v5e", "TPU v5e": "v5e", "TPU v6 lite": "v6e", "TPU v6e": "v6e", "TPU7x": "v7x",
    "NVIDIA A100": "a100", "NVIDIA H100": "h100", "NVIDIA B200": "b200",
}  # fmt: skip
"""What JAX calls a device, or how that begins, and the chip whose compiler is asked."""

MAIN = Point(items=10**6, methods=("unconstrained", "genret", "static-style"), seconds=20)
CHANGES: tuple[dict[str, Any], ...] = ({}, {"codes": 256}, {"batch": 16}, {"kind": "zipf"})
POINTS = tuple(dataclasses.replace(MAIN, **change) for change in CHANGES)
SMALL = dataclasses.replace(MAIN, items=2000, codes=64, depth=3, beams=8, repeats=3)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device(Program):
    """Measure the attached device and print a table for an issue."""

    name: ClassVar[str] = "benchmarks.device"
    bars: ClassVar = [
        over(name, "6 soak", name, sum, 0, at_most=True) for name in ("wrong", "invalid")
    ]

    static: Path | None = None
    """Checkout of STATIC (github.com/youtube/static-constraint-decoding), to be timed as well."""
    tries: int = 1000  # Random tries whose answers are checked.
    budget: bool = True  # Also compile the main point and read the compiler's schedule.

    def points(self) -> Points:
        """Return the random tries, the searches that are timed, and what a compiler counts."""
        use(self.static)
        tries, families = (4, FAMILIES[:1]) if self.smoke else (self.tries, FAMILIES)
        chip = chip_of(jax.devices()[0].device_kind)
        size = accelerators.SMOKE if self.smoke else accelerators.MAIN
        return {
            **random_tries.points(tries, families),
            **suite.points((SMALL,) if self.smoke else POINTS),
            **(accelerators.points((size,), (chip,)) if self.budget and chip else {}),
        }

    def main(self, console: Console) -> int:
        """Measure; the exit status is 1 when an answer was wrong."""
        document = self.measured(console)
        print(markdown(document))
        return int(not all(verdict["met"] for verdict in document["verdicts"].values()))


def chip_of(kind: str) -> str | None:
    """Return the chip of a kind of device; None: one that `accelerators` does not know.

    >>> chip_of("TPU v6 lite"), chip_of("NVIDIA H100 80GB HBM3"), chip_of("cpu")
    ('v6e', 'h100', None)
    """
    return next((chip for name, chip in CHIPS.items() if kind.startswith(name)), None)


def markdown(document: Mapping[str, Any]) -> str:
    """Return the table of a device: fuzz, times, and the compiler's schedule."""
    about, points = document["environment"], document["points"]
    fuzzed = [p for key, p in points.items() if key.startswith("6 soak") and "error" not in p]
    tries, wrong, invalid = (sum(p[n] for p in fuzzed) for n in ("tries", "wrong", "invalid"))
    rows, scheduled = [], []
    for key, point in points.items():
        for name, own in point.get("methods", {}).items():
            if isinstance(own, dict) and "ms" in own:
                times = [f"{own['ms']:.3f}", f"{own.get('queued_ms', float('nan')):.3f}"]
                exact = f"{own['of_exact']:.0%}" if "of_exact" in own else ""
                rows.append([key.replace("|", ""), name, *times, f"{own['valid']:.0%}", exact])
        if "chip" in point and "error" not in point:
            counted = f"{point.get('kernels')} kernels and {point.get('copies')} copies"
            if point.get("cycles"):
                counted = f"{point['cycles']:,} cycles"
            scheduled.append(f"- {key}: {counted} ({accelerators.LABEL})")
    columns = ("point", "method", "ms a search", "ms when queued", "valid", "exact")
    said = (
        f"**{about['device']}** x {about['devices']}, commit {about['commit']}, jax "
        f"{about['versions']['jax']}: {tries:,} random tries, {wrong} wrong answers, "
        f"{invalid} invalid items."
    )
    parts = [said, Table("", columns, rows).markdown(), "\n".join(scheduled)]
    return "\n\n".join(part for part in parts if part)
