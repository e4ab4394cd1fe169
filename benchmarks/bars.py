"""Bars: what figures of a run have to reach, as assertions over the JSON document that the run wrote."""

import dataclasses
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.process import Figures


@dataclasses.dataclass(frozen=True)
class Bar:
    """A figure of a run and what it should reach."""

    name: str
    value: Callable[[Mapping[str, Any]], Any]  # of the run's document; None: it was not measured
    limit: float | None = None  # what it should reach; None: the figure is only shown
    at_most: bool = False  # the limit is the largest value, not the least
    points: str = "(?!)"  # how the keys of its points begin; if one of them failed, it is missed


def over(
    name: str,
    points: str,
    figure: str,
    how: Callable[[Any], Any] = max,
    limit: float | None = None,
    *,
    at_most: bool = False,
) -> Bar:
    """Return a bar for what ``how`` makes of one figure of the points whose keys begin so."""

    def value(document: Mapping[str, Any]) -> Any:
        own = {k: p for k, p in document["points"].items() if re.match(points, k) and figure in p}
        values = {k: point[figure] for k, point in own.items()}
        return how(values if how is by_beams else list(values.values())) if values else None

    return Bar(name, value, limit, at_most, points)


def by_beams(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures by the number of beams in the keys of their points."""
    return {re.findall(r"M=(\d+)", key)[0]: value for key, value in values.items()}


def judge(value: float, limit: float, *, at_most: bool = False) -> Figures:
    """Return a figure beside the bar that it should reach, and whether it does."""
    met = (operator.le if at_most else operator.ge)(value, limit)
    return {"value": value, "bar": limit, "at_most": at_most, "met": bool(met)}


def evaluate(document: Figures, bars: Sequence[Bar]) -> None:
    """Put the value of each bar (``bars``) and whether it is met (``verdicts``) into a document.

    A bar that was not measured is left out. One of whose points some failed is missed, with the errors.
    """
    for bar in bars:
        found = bar.value(document)
        own = (p for key, p in document["points"].items() if re.match(bar.points, key))
        errors = [point["error"] for point in own if "error" in point]
        document["verdicts"].pop(bar.name, None)
        if found is not None or errors:
            document["bars"][bar.name] = found
        if errors:
            missed = {"value": found, "bar": bar.limit, "at_most": bar.at_most, "met": False}
            document["verdicts"][bar.name] = missed | {"errors": errors}
        elif found is not None and bar.limit is not None:
            document["verdicts"][bar.name] = judge(found, bar.limit, at_most=bar.at_most)
