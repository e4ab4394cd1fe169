"""A run of the preset "paper" beside the tables of the STATIC paper (arXiv 2602.22647).

    python -m benchmarks paper FILE
    python -m benchmarks paper FILE --markdown

Theirs (`static_paper.json`) are milliseconds of a TPU v6e, ours of whatever machine the run is of; what
can be compared is the order of the methods and how each grows: the slope of log(time) over log(size).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from benchmarks.program import Table
from benchmarks.record import read
from benchmarks.show import Line
from genret.errors import GenretError
from genret.json_files import read_json

_, COLUMNS, OVER_ITEMS, OVER_CODES, INSIDE = read_json(
    Path(__file__).with_name("static_paper.json")
).values()
OURS = dict(
    zip(COLUMNS, ("static-style", "hash-bitmap", "ppv-top50", "ppv-exact", "cpu-trie"), strict=True)
) | {"genret": "genret"}
"""The paper's methods, and ours of the same algorithm."""


@dataclasses.dataclass(frozen=True)
class Paper:
    """Print a run of the preset "paper" beside the paper's tables."""

    file: tyro.conf.Positional[Path]  # JSON of the run.
    markdown: bool = False  # Print Markdown.

    def main(self, console: Console) -> None:
        """Print the tables."""
        document = read(self.file)
        environment, lines = document["environment"], list(document["points"].values())
        if self.markdown:
            print(markdown(environment, lines))
            return
        for table in tables(lines):
            table.show(console)
        for text in (*orders(lines), _machines(environment)):
            console.print(text)


def markdown(environment: Mapping[str, Any], points: Sequence[Line]) -> str:
    """Return the tables and the orders of a run as Markdown."""
    parts = [text for table in tables(points) for text in (f"{table.title}:", table.markdown())]
    said = "\n".join(f"- {text}" for text in orders(points))
    return "\n\n".join([_machines(environment), *parts, said])


def tables(points: Sequence[Line]) -> list[Table]:
    """Return the paper's tables: what it says beside what was measured.

    Raises:
      GenretError: the run is not one of the preset "paper".
    """
    by_items, by_codes = (
        _measured(points, "items", "codes", 2048),
        _measured(points, "codes", "items", 10**7),
    )
    if not by_items or any(
        x["sizes"]["depth"] != 8 for x in (*by_items.values(), *by_codes.values())
    ):
        raise GenretError("paper: found no points of the preset 'paper'")
    over_items = "Table 4a: milliseconds of a step beyond an unconstrained one, by items, V = 2,048"
    over_codes = "Table 4b: the same by codes of a level, 10,000,000 items"
    return [
        *(_inside(line) for line in points if line["sizes"]["model"] is not None),
        _grown(over_items, "items", OVER_ITEMS, by_items),
        _grown(over_codes, "codes", OVER_CODES, by_codes),
    ]


def orders(points: Sequence[Line]) -> list[str]:
    """Say the order of the methods at the most items of Table 4a that were measured, cheapest first.

    After each method stand the milliseconds of a step over an unconstrained one.
    """
    measured = _measured(points, "items", "codes", 2048)
    most = max(size for size in measured if str(size) in OVER_ITEMS)
    theirs = dict(zip(COLUMNS, OVER_ITEMS[str(most)], strict=True))
    ours = {name: _time(measured[most], method) for name, method in OURS.items()}
    said = []
    for whose, costs in (("paper", theirs), ("measured", ours)):
        known = sorted((ms, name) for name, ms in costs.items() if ms is not None)
        order = ", ".join(f"{name} {ms:.3f}" for ms, name in known)
        said.append(f"order with {most:,} items, V = 2,048, {whose}: {order}")
    absent = [f"{n} ({_figure(measured[most], OURS[n])})" for n, ms in ours.items() if ms is None]
    if absent:
        said[-1] += f"; without a figure: {', '.join(absent)}"
    return said


def _measured(points: Sequence[Line], axis: str, other: str, fixed: int) -> dict[int, Line]:
    """Return the points with given logits and a fixed size by another of their sizes."""
    given = [line["sizes"] | {"line": line} for line in points if line["sizes"]["model"] is None]
    return {sizes[axis]: sizes["line"] for sizes in given if sizes[other] == fixed}


def _grown(title: str, axis: str, theirs: Mapping[str, Any], ours: Mapping[int, Line]) -> Table:
    """Return a table of the steps' times over an axis, theirs and ours."""
    rows = []
    for size, said in theirs.items():
        *own, last = (_figure(ours.get(int(size)), method) for method in OURS.values())
        both = [f"{_number(x)}, {y}" for x, y in zip(said, own, strict=True)]
        rows.append([f"{int(size):,}", *both, last])
    *slopes, last = (_slope({s: _time(x, own) for s, x in ours.items()}) for own in OURS.values())
    in_both = {int(size): row for size, row in theirs.items() if int(size) in ours}
    both = [
        f"{_slope({s: r[n] for s, r in in_both.items()})}, {own}" for n, own in enumerate(slopes)
    ]
    columns = [
        axis,
        *(f"{name}: paper, measured here" for name in COLUMNS),
        "genret: measured here",
    ]
    return Table(
        title, columns, [*rows, [f"growth with the {axis}: slope of the logarithms", *both, last]]
    )


def _inside(line: Line) -> Table:
    """Return Table 1: a step inside a transformer, as a share of it without a constraint."""
    base, sizes = line["methods"]["unconstrained"].get("step_ms") or 0, line["sizes"]
    rows = []
    for name, own in OURS.items():
        said = "" if name not in INSIDE else "+{:g} ms, {:.2%}".format(*INSIDE[name])
        over, ours = _time(line, own), _figure(line, own)
        if over is not None and base:
            ours = f"{over:+.3f} ms, {over / base:.1%}"
        rows.append([name, said, ours])
    title = (
        f"Table 1: what a step takes more than an unconstrained one inside a transformer (theirs: 13 ms "
        f"a step, 20,000,000 items; here: {sizes['model']}, {base:.0f} ms a step, {sizes['items']:,} items)"
    )
    return Table(title, ["method", "paper says", "measured here"], rows)


def _machines(environment: Mapping[str, Any]) -> str:
    return (
        f"theirs: TPU v6e, B = 2, M = 70, L = 8; measured: {environment.get('processor')}, "
        f"{environment.get('cores')} cores, the same B, M and L"
    )


def _time(line: Line | None, method: str) -> float | None:
    """Return the milliseconds of a step over an unconstrained one; None: not measured."""
    return None if line is None else line["methods"].get(method, {}).get("over_first_ms")


def _figure(line: Line | None, method: str) -> str:
    """Say the same, or in a word why there is no figure."""
    over = _time(line, method)
    if over is not None:
        return _number(over)
    return "too large" if line and line["methods"].get(method, {}).get("error") else "not run"


def _number(value: float | None) -> str:
    return "out of memory" if value is None else f"{value:.3f}"


def _slope(times: Mapping[int, float | None]) -> str:
    """Return the least-squares slope of log(time) over log(size), of the times above 0."""
    pairs = [(size, ms) for size, ms in times.items() if ms is not None and ms > 0]
    return f"{np.polyfit(*np.log(pairs).T, 1)[0]:.2f}" if len(pairs) > 1 else "too few above 0"
