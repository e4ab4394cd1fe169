"""Bars: what figures of a run have to reach, as assertions over the JSON document that the run wrote."""

import dataclasses
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.record import Figures, judge

Value = Callable[[Mapping[str, Any]], Any]


class Failed(Exception):
    """A figure that points should have had which failed.

    Args:
      value: that of the points which did not fail.
      errors: of the others.
    """

    def __init__(self, value: Any, errors: list[str]) -> None:
        self.value, self.errors = value, errors


@dataclasses.dataclass(frozen=True)
class Bar:
    """A figure of a run and what it should reach."""

    name: str
    value: Value  # takes the run's document; None: it was not measured; raises `Failed`
    limit: float | None = None  # None: the figure is only shown
    at_most: bool = False


def at_most(name: str, value: Value, limit: float) -> Bar:
    """Return a bar that a figure must not pass."""
    return Bar(name, value, limit, at_most=True)


def verdicts(document: Mapping[str, Any], bars: Iterable[Bar]) -> dict[str, Figures]:
    """Judge the figures of a document that have a limit and were measured."""
    found = {bar.name: (bar, bar.value(document)) for bar in bars if bar.limit is not None}
    return {
        name: judge(value, bar.limit, at_most=bar.at_most)  # type: ignore[arg-type]
        for name, (bar, value) in found.items()
        if value is not None
    }


def evaluate(document: Figures, bars: Sequence[Bar]) -> None:
    """Put the value of each bar (``bars``) and whether it is met (``verdicts``) into a document.

    A bar that was not measured is left out. One of whose points some failed is missed, with the errors.
    """
    for bar in bars:
        errors: list[str] = []
        try:
            found = bar.value(document)
        except Failed as e:
            found, errors = e.value, e.errors
        if found is None and not errors:
            continue
        document["bars"][bar.name] = found
        document["verdicts"].pop(bar.name, None)
        if errors:
            missed = {"value": found, "bar": bar.limit, "at_most": bar.at_most, "met": False}
            document["verdicts"][bar.name] = missed | {"errors": errors}
        elif bar.limit is not None:
            document["verdicts"][bar.name] = judge(found, bar.limit, at_most=bar.at_most)


def over(points: str, figure: str, how: Callable[[Sequence[Any]], Any] = max) -> Value:
    """Return what makes one figure of those of several points.

    Args:
      points: how the keys of the points begin, a regular expression.
      figure: the figure of each point.
      how: takes the figures; `by_beams` takes them by the points' keys.
    """

    def value(document: Mapping[str, Any]) -> Any:
        own = {k: p for k, p in document["points"].items() if re.match(points, k)}
        values = {k: point[figure] for k, point in own.items() if figure in point}
        errors = [point["error"] for point in own.values() if "error" in point]
        found = None
        if values:
            found = by_beams(values) if how is by_beams else how(list(values.values()))
        if errors:
            raise Failed(found, errors)
        return found

    return value


def by_beams(values: Any) -> dict[str, Any]:
    """Return figures by the number of beams in the keys of their points."""
    return {re.findall(r"M=(\d+)", key)[0]: value for key, value in values.items()}


def _growth(values: Sequence[float]) -> float:
    # A model may keep nothing that depends on what grows.
    return max(values) / min(values) if min(values) else 1.0 + max(values)


def _passed(values: Sequence[float]) -> int:
    return sum(value == 0 for value in values)


geomean = statistics.geometric_mean
GRID, ZIPF, BUILD, BIG, SOAK, FILTERS, INSERT = (
    "1 grid", "2 zipf", "4 build", "5 big", "6 soak", "9 filters", "7 insert 1 %",
)  # fmt: skip
CONSTRAINT: Sequence[Bar] = (
    Bar("ours_over_floor", over(GRID, "over_floor", geomean)),
    Bar("legal_over_floor", over(GRID, "legal_over_floor", geomean)),
    Bar("geomean_speedup", over(GRID, "speedup", geomean), 1.5),
    Bar("min_speedup", over(GRID, "speedup", min), 0.95),
    Bar("static_over_floor", over(GRID, "static_over_floor", geomean)),
    Bar("legal_geomean_speedup", over(GRID, "legal_speedup", geomean)),
    at_most("zipf_over_uniform", over(ZIPF, "over_uniform"), 1.3),
    Bar("zipf_speedup", over(ZIPF, "speedup", min), 2.0),
    at_most("bytes_over_static", over("3 bytes: uniform", "over_static"), 1 / 4),
    at_most("bytes_over_static_real", over("3 bytes: (?!uniform)", "over_static"), 1 / 3),
    at_most("build_over_static", over(BUILD, "sorted_over_static"), 1 / 5),
    at_most("build_unsorted_over_static", over(BUILD, "unsorted_over_static"), 1 / 4),
    at_most("build_1e8_gib", over(BIG, "build_gib"), 20.0),
    at_most("step_1e8_over_1e6", over(BIG, "step_ratio"), 1.2),
    Bar("tries", over(SOAK, "tries", sum)),
    at_most("wrong_answers", over(SOAK, "wrong", sum), 0),
    at_most("invalid_items", over(SOAK, "invalid", sum), 0),
    Bar("static_cases_passed", over("6 case", "invalid", _passed), 5),
    at_most("recompilations", over("7 .*(refreshes|changes|removals)", "compiled", sum), 0),
    at_most("insert_over_build", over(INSERT, "insert_over_build"), 0.05),
    Bar("insert_with_ids_over_build", over(INSERT, "insert_with_ids_over_build")),
    at_most("sequential_calls_uniform_2e7", over("8 calls: uniform", "most_calls"), 4),
    Bar("stepping_calls_uniform_2e7", over("8 calls: uniform", "most_steps")),
    at_most("sequential_calls_beauty", over("8 calls: beauty", "most_calls"), 3),
    Bar("stepping_calls_beauty", over("8 calls: beauty", "most_steps")),
    at_most("filters_over_none", over(FILTERS, "filters_over_none"), 1.25),
    Bar("seen_over_none", over(FILTERS, "seen_over_none")),
    *(
        bar
        for kind, suffix in (("decoder_only", ""), ("item_decoder", "_item_decoder"))
        for bar in (
            Bar(f"history_bytes_by_beams{suffix}",
                over(f"10 history: {kind}", "history_cache_bytes", by_beams)),
            Bar(f"temporary_bytes_by_beams{suffix}",
                over(f"10 history: {kind}", "temporary_bytes", by_beams)),
            at_most(f"history_bytes_growth{suffix}",
                    over(f"10 history: {kind}", "history_cache_bytes", _growth), 1.0),
        )
    ),
)  # fmt: skip
"""The bars of ``benchmarks.constraint``."""
