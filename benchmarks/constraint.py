"""The constraint index and the search, beside STATIC in one process: the bars of the engine's core.

    python -m benchmarks.constraint --preset bars --static CHECKOUT --data DATA --json FILE

Every timed answer is compared with the exact one of a NumPy search. Points are written as they come;
``--resume`` goes on where a run was cut off. The bars are computed from the points.
"""

import dataclasses
import gc
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from benchmarks import engine_points, live_points, model_points, random_tries
from benchmarks.bars import Bar, by_beams, evaluate, over
from benchmarks.methods.static_code import use
from benchmarks.process import Figures
from benchmarks.program import Table, make_main
from benchmarks.record import Record, environment
from benchmarks.sizes import SIZES, Points, Sizes
from genret.errors import GenretError


def _growth(values: Sequence[float]) -> float:
    # A model may keep nothing that depends on what grows.
    return max(values) / min(values) if min(values) else 1.0 + max(values)


def _passed(values: Sequence[float]) -> int:
    return sum(value == 0 for value in values)


def _history(kind: str, suffix: str) -> tuple[Bar, ...]:
    """Return the bars of what a decode keeps of a history."""
    of, cache = f"10 history: {kind}", "history_cache_bytes"
    return (
        over(f"history_bytes_by_beams{suffix}", of, cache, by_beams),
        over(f"temporary_bytes_by_beams{suffix}", of, "temporary_bytes", by_beams),
        over(f"history_bytes_growth{suffix}", of, cache, _growth, 1.0, at_most=True),
    )


geomean = statistics.geometric_mean
GRID, ZIPF, REAL, BUILD, SOAK, INSERT, UNIFORM, BEAUTY, FILTERS = (
    "1 grid", "2 zipf", "3 bytes: (?!uniform)", "4 build", "6 soak", "7 insert 1 %",
    "8 calls: uniform", "8 calls: beauty", "9 filters",
)  # fmt: skip
BARS: Sequence[Bar] = (
    over("ours_over_floor", GRID, "over_floor", geomean),
    over("legal_over_floor", GRID, "legal_over_floor", geomean),
    over("geomean_speedup", GRID, "speedup", geomean, 1.5),
    over("min_speedup", GRID, "speedup", min, 0.95),
    over("static_over_floor", GRID, "static_over_floor", geomean),
    over("legal_geomean_speedup", GRID, "legal_speedup", geomean),
    over("zipf_over_uniform", ZIPF, "over_uniform", max, 1.3, at_most=True),
    over("zipf_speedup", ZIPF, "speedup", min, 2.0),
    over("bytes_over_static", "3 bytes: uniform", "over_static", max, 1 / 4, at_most=True),
    over("bytes_over_static_real", REAL, "over_static", max, 1 / 3, at_most=True),
    over("build_over_static", BUILD, "sorted_over_static", max, 1 / 5, at_most=True),
    over("build_unsorted_over_static", BUILD, "unsorted_over_static", max, 1 / 4, at_most=True),
    over("build_1e8_gib", "5 big", "build_gib", max, 20.0, at_most=True),
    over("step_1e8_over_1e6", "5 big", "step_ratio", max, 1.2, at_most=True),
    over("tries", SOAK, "tries", sum),
    over("wrong_answers", SOAK, "wrong", sum, 0, at_most=True),
    over("invalid_items", SOAK, "invalid", sum, 0, at_most=True),
    over("static_cases_passed", "6 case", "invalid", _passed, 5),
    over("recompilations", "7 .*(refreshes|changes|removals)", "compiled", sum, 0, at_most=True),
    over("insert_over_build", INSERT, "insert_over_build", max, 0.05, at_most=True),
    over("insert_with_ids_over_build", INSERT, "insert_with_ids_over_build"),
    over("sequential_calls_uniform_2e7", UNIFORM, "most_calls", max, 4, at_most=True),
    over("stepping_calls_uniform_2e7", UNIFORM, "most_steps"),
    over("sequential_calls_beauty", BEAUTY, "most_calls", max, 3, at_most=True),
    over("stepping_calls_beauty", BEAUTY, "most_steps"),
    over("filters_over_none", FILTERS, "filters_over_none", max, 1.25, at_most=True),
    over("seen_over_none", FILTERS, "seen_over_none"),
    *_history("decoder_only", ""),
    *_history("item_decoder", "_item_decoder"),
)

POINTS: Mapping[str, Callable[[Sizes, Path | None], Points]] = {
    "1": lambda sizes, _: engine_points.grid(sizes),
    "2": lambda sizes, _: engine_points.skew(sizes),
    "3": engine_points.size,
    "4": lambda sizes, _: engine_points.build(sizes),
    "5": lambda sizes, _: engine_points.big(sizes),
    "6": lambda sizes, _: random_tries.points(sizes.tries) | random_tries.static_cases(),
    "7": lambda sizes, _: live_points.points(sizes),
    "8": model_points.passes,
    "9": lambda sizes, _: engine_points.filters(sizes),
    "10": lambda sizes, _: model_points.history_bytes(sizes),
}
"""What makes the points of each bar, by the bar's number, from sizes and the folder of real data."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    preset: Literal["smoke", "bars"] = "bars"
    """Sizes: "smoke" takes a minute, "bars" up to an hour."""
    json: Path | None = None  # File to write.
    static: Path | None = None  # Checkout of STATIC; without it nothing is compared.
    data: Path | None = None  # Folder with office/index.json and beauty/index.json.
    only: tuple[str, ...] = ()  # Numbers of bars, such as 1 2; all if left out.
    resume: bool = False  # Keep the points that the file holds.

    def main(self, console: Console) -> None:
        """Measure the points of the bars one after the other, evaluate the bars and show them."""
        use(self.static)
        unknown = set(self.only) - POINTS.keys()
        if unknown:
            raise GenretError(f"only: found {sorted(unknown)}, expected some of {[*POINTS]}")
        heading = {"preset": self.preset, "environment": environment()}
        record = Record(self.json, heading, resume=self.resume, say=console.print)
        for number in self.only or POINTS:
            for key, function in POINTS[number](SIZES[self.preset], self.data).items():
                record.point(key, function)
            gc.collect()  # the indices of a bar may be large
        evaluate(record.document, BARS)
        record.write()
        table(record.document).show(console)


def table(document: Figures, title: str = "Constraint index and search") -> Table:
    """Return the bars, what they ask for and whether they are met."""
    rows = {}
    for name, value in document["bars"].items():
        judged = document["verdicts"].get(name, {})
        limit = judged.get("bar")
        asked = (
            "" if limit is None else f"{'at most' if judged['at_most'] else 'at least'} {limit:.4g}"
        )
        met = {True: "met", False: "MISSED"}.get(judged.get("met"), "")
        rows[name] = {"value": value, "asked": asked, "met": met}
    said: Callable[[Any], str] = lambda x: f"{x:.4g}" if isinstance(x, float) else str(x)  # noqa: E731
    columns = {"measured": ("value", said), "asked for": ("asked", "{}"), "": ("met", "{}")}
    return Table.of(title, columns, rows, "bar")


main = make_main("benchmarks.constraint", Options)

if __name__ == "__main__":
    sys.exit(main())
