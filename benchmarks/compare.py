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
COLUMNS = {
    "method": ("method", "{}"),
    "before": ("before", "{:.2f}"),
    "after": ("after", "{:.2f}"),
    "change": ("change", lambda x: f"{x - 1:+.0%}"),
    "95 %": ("interval", lambda ends: f"{ends[0] - 1:+.0%} to {ends[1] - 1:+.0%}"),
    "": ("judged", "{}"),
}


@dataclasses.dataclass(frozen=True)
class Compare:
    """Compare two runs; the exit status is 1 when something got slower by more than a threshold."""

    before: tyro.conf.Positional[Path]  # JSON of the run to compare with.
    after: tyro.conf.Positional[Path]  # JSON of the other run.
    threshold: float = 0.15
    """Change of a ratio to the first method that is too much, as a share."""

    def main(self, console: Console) -> int:
        """Print what moved."""
        paths = self.before, self.after
        runs = [read(path) for path in paths]
        before, after = (run["points"] for run in runs)
        for path, points in zip(paths, (before, after), strict=True):
            if any("methods" not in line for line in points.values()):
                raise GenretError(f"{path}: is no run of timings, expected a run of a preset")
        left, right = (run.get("environment", {}).get("device") for run in runs)
        if left != right:
            console.print(f"note: {left} before, {right} after")
        most = 1 + self.threshold
        rows: dict[str, dict[str, Any]] = {}
        for key in before.keys() & after.keys():
            for row in changes(before[key], after[key]):
                low, high = row["interval"]
                judged = "SLOWER" if low > most else "faster" if high < 1 / most else ""
                rows[f"{key} {row['method']}"] = row | {"judged": judged}
        Table.of("times over that of the point's first method", COLUMNS, rows, "point").show(
            console
        )
        for name, keys in (("before", {*before} - {*after}), ("after", {*after} - {*before})):
            for key in sorted(keys):
                console.print(f"only {name}: {key}")
        return int(any(row["judged"] == "SLOWER" for row in rows.values()))


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """Return, for each method of a point but the first, how its ratio to the first one changed.

    Ratios, since two runs meet different machines, or one machine whose speed drifts. The interval
    is of 95 %, by resampling the processes and the rounds of both runs.
    """
    runs = [run["methods"] for run in (before, after)]
    first, *others = (name for name in runs[0] if all("ms" in run.get(name, {}) for run in runs))
    rng = np.random.default_rng(0)

    def resampled(own: dict[str, Any], base: dict[str, Any]) -> list[float]:
        mine, other = rounds_of(own), rounds_of(base)
        found = []
        for _ in range(RESAMPLES):
            drawn = rng.integers(len(mine), size=len(mine))
            again = ([rng.choice(of[n], len(of[n])) for n in drawn] for of in (mine, other))
            found.append(times_of(*({"rounds_ms": rounds} for rounds in again)))
        return found

    rows = []
    for name in others:
        old, new = (times_of(run[name], run[first]) for run in runs)
        olds, news = (np.array(resampled(run[name], run[first])) for run in runs)
        low, high = np.percentile(news / olds, [2.5, 97.5]).tolist()
        row = {"method": name, "before": old, "after": new, "change": new / old}
        rows.append(row | {"interval": (low, high)})
    return rows
