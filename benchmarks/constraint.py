"""The constraint index and the search, beside STATIC in one process: the bars of the engine's core.

    python -m benchmarks.constraint --static CHECKOUT --data DATA --json FILE

Every timed answer is compared with the exact one of a NumPy search. Points are written as they come;
``--resume`` goes on where a run was cut off, ``--only "1 grid" "2 zipf"`` measures some of the bars.
"""

import dataclasses
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from benchmarks import engine_points, live_points, model_points, random_tries
from benchmarks.bars import Bar, by_beams, over
from benchmarks.methods.static_code import use
from benchmarks.program import Program, make_main
from benchmarks.record import Points
from benchmarks.sizes import SMOKE, Sizes


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
GRID, ZIPF, REAL, BUILD, SOAK, UNIFORM, BEAUTY, FILTERS = (
    "1 grid", "2 zipf", "3 bytes: (?!uniform)", "4 build", "6 soak",
    "8 calls: uniform", "8 calls: beauty", "9 filters",
)  # fmt: skip
BARS: Sequence[Bar] = (
    over("ours_over_floor", GRID, "over_floor", geomean),
    over("geomean_speedup", GRID, "speedup", geomean, 2.2),
    over("min_speedup", GRID, "speedup", min, 1.4),
    over("static_over_floor", GRID, "static_over_floor", geomean),
    over("zipf_over_uniform", ZIPF, "over_uniform", max, 1.3, at_most=True),
    over("zipf_speedup", ZIPF, "speedup", min, 2.0),
    over("bytes_over_static", "3 bytes: uniform", "over_static", max, 0.2, at_most=True),
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
    over("insert_over_build", "7 insert 1 %", "insert_over_build", max, 0.05, at_most=True),
    over("sequential_calls_uniform_2e7", UNIFORM, "most_calls", max, 4, at_most=True),
    over("stepping_calls_uniform_2e7", UNIFORM, "most_steps"),
    over("sequential_calls_beauty", BEAUTY, "most_calls", max, 3, at_most=True),
    over("stepping_calls_beauty", BEAUTY, "most_steps"),
    over("filters_over_none", FILTERS, "filters_over_none", max, 1.25, at_most=True),
    over("seen_over_none", FILTERS, "seen_over_none"),
    *_history("decoder_only", ""),
    *_history("item_decoder", "_item_decoder"),
    over("one_user_ms_over_search", "11 one user", "ms_over_search", max, 2.0, at_most=True),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constraint(Program):
    """Measure the bars of the constraint index and the search; see the module's docstring."""

    name: ClassVar[str] = "benchmarks.constraint"
    title: ClassVar[str] = "Constraint index and search"
    bars: ClassVar = BARS

    static: Path | None = None  # Checkout of STATIC; without it nothing is compared.
    data: Path | None = None  # Folder with office/index.json and beauty/index.json.

    def points(self) -> Points:
        """Return the points of all bars."""
        use(self.static)
        sizes = SMOKE if self.smoke else Sizes()
        return {
            **engine_points.points(sizes, self.data),
            **random_tries.points(sizes.tries),
            **random_tries.static_cases(),
            **live_points.points(sizes),
            **model_points.points(sizes, self.data),
        }


main = make_main(Constraint)

if __name__ == "__main__":
    sys.exit(main())
