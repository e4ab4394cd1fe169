"""Two runs side by side: what moved, and by more than the noise."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from benchmarks.program import Table
from benchmarks.record import read
from benchmarks.timing import rounds_of, times_of
from genret.errors import GenretError

RESAMPLES = 500


@dataclasses.dataclass(frozen=True)
class Compare:
    """Compare two runs; the exit status is 1 when something got slower by more than a threshold."""

    before: tyro.conf.Positional[Path]  # JSON of the run to compare with.
    after: tyro.conf.Positional[Path]  # JSON of the other run.
    threshold: float = 0.15
    """Change of a ratio to the first method that is too much, as a share."""

    def main(self, console: Console) -> int:
        """Print what moved."""
        runs = [read(self.before), read(self.after)]
        before, after = (run["points"] for run in runs)
        for path, points in ((self.before, before), (self.after, after)):
            if any("methods" not in line for line in points.values()):
                raise GenretError(f"{path}: is no run of timings, expected a run of a preset")
        left, right = (run.get("environment", {}).get("device") for run in runs)
        if left != right:
            console.print(f"note: {left} before, {right} after")
        rows = [
            self._row(key, row)
            for key in before.keys() & after.keys()
            for row in changes(before[key], after[key])
        ]
        columns = ("point", "method", "before", "after", "change", "95 %", "")
        Table("times over that of the point's first method", columns, rows).show(console)
        for name, keys in (("before", {*before} - {*after}), ("after", {*after} - {*before})):
            for key in sorted(keys):
                console.print(f"only {name}: {key}")
        return int(any(row[-1] == "SLOWER" for row in rows))

    def _row(self, key: str, row: dict[str, Any]) -> list[str]:
        low, high = row["interval"]
        judged = "SLOWER" if low > 1 + self.threshold else ""
        if high < 1 / (1 + self.threshold):
            judged = "faster"
        figures = [f"{row['before']:.2f}", f"{row['after']:.2f}", f"{row['change'] - 1:+.0%}"]
        return [key, row["method"], *figures, f"{low - 1:+.0%} to {high - 1:+.0%}", judged]


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """Return, for each method of a point but the first, how its ratio to the first one changed.

    Ratios, since two runs meet different machines, or one machine whose speed drifts. The interval
    is of 95 %, by resampling the processes and the rounds of both runs.
    """
    timed = [
        name
        for name, own in before["methods"].items()
        if "ms" in own and "ms" in after["methods"].get(name, {})
    ]
    rng = np.random.default_rng(0)
    found = []
    for name in timed[1:]:
        both = (_ratios(run["methods"], timed[0], name, rng) for run in (before, after))
        (old, olds), (new, news) = both
        low, high = np.percentile(news / olds, [2.5, 97.5])
        row = {"method": name, "before": old, "after": new, "change": new / old}
        found.append(row | {"interval": (float(low), float(high))})
    return found


def _ratios(
    methods: dict[str, Any], base: str, name: str, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Return a method's ratio to another one, and that of resampled processes and rounds."""
    mine, other = rounds_of(methods[name]), rounds_of(methods[base])
    resampled = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(mine), size=len(mine))
        again = [
            {"rounds_ms": [rng.choice(rounds[number], len(rounds[number])) for number in drawn]}
            for rounds in (mine, other)
        ]
        resampled.append(times_of(*again))
    return times_of(methods[name], methods[base]), np.array(resampled)
