"""Bars: what figures of a run have to reach, as assertions over the JSON that the run wrote."""

import dataclasses
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from benchmarks.record import Figures, judge


def _by_beams(values: Mapping[str, Any]) -> dict[str, Any]:
    return {re.findall(r"M=(\d+)", key)[0]: value for key, value in values.items()}


def _growth(values: Mapping[str, float]) -> float:
    # A model may keep nothing that depends on what grows.
    least, most = min(values.values()), max(values.values())
    return most / least if least else 1.0 + most


HOW: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "max": lambda values: max(values.values()),
    "min": lambda values: min(values.values()),
    "sum": lambda values: sum(values.values()),
    "geomean": lambda values: statistics.geometric_mean(values.values()),
    "passed": lambda values: sum(value == 0 for value in values.values()),
    "by beams": _by_beams,
    "growth": _growth,
}
"""How the figures of several points become one."""


@dataclasses.dataclass(frozen=True)
class Bar:
    """A figure over some points of a run and what it should reach.

    Attributes:
      name: of the bar.
      points: how the keys of its points begin, a regular expression.
      figure: the figure of each point.
      how: one of :data:`HOW`.
      bar: what it should reach; None: it is only shown.
      at_most: it should be at most that.
    """

    name: str
    points: str
    figure: str
    how: Literal["max", "min", "sum", "geomean", "passed", "by beams", "growth"] = "max"
    bar: float | None = None
    at_most: bool = False


def at_most(name: str, points: str, figure: str, bar: float, how: Any = "max") -> Bar:
    """Return a bar that a figure must not pass."""
    return Bar(name, points, figure, how, bar, at_most=True)


def evaluate(document: Figures, bars: Sequence[Bar]) -> None:
    """Put the value of each bar and whether it is met into the document of a run.

    A bar none of whose points were measured, or none of which has its figure, is left out. A bar one of
    whose points failed is missed, with the errors.
    """
    for bar in bars:
        own = {k: p for k, p in document["points"].items() if re.match(bar.points, k)}
        errors = [point["error"] for point in own.values() if "error" in point]
        values = {k: point[bar.figure] for k, point in own.items() if bar.figure in point}
        if not values and not errors:
            continue
        found = HOW[bar.how](values) if values else None
        document["bars"][bar.name] = found
        document["verdicts"].pop(bar.name, None)
        if errors:
            missed = {"value": found, "bar": bar.bar, "at_most": bar.at_most, "met": False}
            document["verdicts"][bar.name] = missed | {"errors": errors}
        elif bar.bar is not None:
            document["verdicts"][bar.name] = judge(found, bar.bar, at_most=bar.at_most)


GRID, ZIPF, BUILD, BIG, SOAK, FILTERS = (
    "1 grid",
    "2 zipf",
    "4 build",
    "5 big",
    "6 soak",
    "9 filters",
)
CONSTRAINT: Sequence[Bar] = (
    Bar("ours_over_floor", GRID, "over_floor", "geomean"),
    Bar("legal_over_floor", GRID, "legal_over_floor", "geomean"),
    Bar("geomean_speedup", GRID, "speedup", "geomean", 1.5),
    Bar("min_speedup", GRID, "speedup", "min", 0.95),
    Bar("static_over_floor", GRID, "static_over_floor", "geomean"),
    Bar("legal_geomean_speedup", GRID, "legal_speedup", "geomean"),
    at_most("zipf_over_uniform", ZIPF, "over_uniform", 1.3),
    Bar("zipf_speedup", ZIPF, "speedup", "min", 2.0),
    at_most("bytes_over_static", "3 bytes: uniform", "over_static", 1 / 4),
    at_most("bytes_over_static_real", "3 bytes: (?!uniform)", "over_static", 1 / 3),
    at_most("build_over_static", BUILD, "sorted_over_static", 1 / 5),
    at_most("build_unsorted_over_static", BUILD, "unsorted_over_static", 1 / 4),
    at_most("build_1e8_gib", BIG, "build_gib", 20.0),
    at_most("step_1e8_over_1e6", BIG, "step_ratio", 1.2),
    Bar("tries", SOAK, "tries", "sum"),
    at_most("wrong_answers", SOAK, "wrong", 0, "sum"),
    at_most("invalid_items", SOAK, "invalid", 0, "sum"),
    Bar("static_cases_passed", "6 case", "invalid", "passed", 5),
    at_most("recompilations", "7 .*(refreshes|changes|removals)", "compiled", 0, "sum"),
    at_most("insert_over_build", "7 insert 1 %", "insert_over_build", 0.05),
    Bar("insert_with_ids_over_build", "7 insert 1 %", "insert_with_ids_over_build"),
    at_most("sequential_calls_uniform_2e7", "8 calls: uniform", "most_calls", 4),
    Bar("stepping_calls_uniform_2e7", "8 calls: uniform", "most_steps"),
    at_most("sequential_calls_beauty", "8 calls: beauty", "most_calls", 3),
    Bar("stepping_calls_beauty", "8 calls: beauty", "most_steps"),
    at_most("filters_over_none", FILTERS, "filters_over_none", 1.25),
    Bar("seen_over_none", FILTERS, "seen_over_none"),
    *(
        bar
        for kind, suffix in (("decoder_only", ""), ("item_decoder", "_item_decoder"))
        for bar in (
            Bar(f"history_bytes_by_beams{suffix}", f"10 history: {kind}", "history_cache_bytes", "by beams"),
            Bar(f"temporary_bytes_by_beams{suffix}", f"10 history: {kind}", "temporary_bytes", "by beams"),
            at_most(f"history_bytes_growth{suffix}", f"10 history: {kind}", "history_cache_bytes", 1.0, "growth"),
        )
    ),
)  # fmt: skip
"""The bars of ``benchmarks.constraint``."""
