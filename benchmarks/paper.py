"""A run of the preset "paper" beside the tables of the STATIC paper (arXiv 2602.22647).

    python -m benchmarks --preset paper --json FILE [--resume]

Theirs (`static_paper.json`) are milliseconds of a TPU v6e, ours of whatever machine the run is of; what
can be compared is the order of the methods and how each grows: the slope of log(time) over log(size).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.show import Line
from benchmarks.tables import Table
from genret.errors import GenretError
from genret.json_files import read_json

_, COLUMNS, OVER_ITEMS, OVER_CODES, INSIDE = read_json(
    Path(__file__).with_name("static_paper.json")
).values()
OURS = dict(
    zip(COLUMNS, ("static-style", "hash-bitmap", "ppv-top50", "ppv-exact", "cpu-trie"), strict=True)
) | {"genret": "genret"}
"""The paper's methods, and ours of the same algorithm."""


def markdown(environment: Mapping[str, Any], points: Sequence[Line]) -> str:
    """Return the tables of a run as Markdown."""
    parts = [text for table in tables(points) for text in (f"{table.title}:", table.markdown())]
    return "\n\n".join([_machines(environment), *parts])


def tables(points: Sequence[Line]) -> list[Table]:
    """Return the paper's tables: what it says beside what was measured.

    Raises:
      GenretError: the run is not one of the preset "paper".
    """
    given = [line for line in points if line["sizes"]["model"] is None]
    by_items = {p["sizes"]["items"]: p for p in given if p["sizes"]["codes"] == 2048}
    by_codes = {p["sizes"]["codes"]: p for p in given if p["sizes"]["items"] == 10**7}
    if not by_items or any(line["sizes"]["depth"] != 8 for line in given):
        raise GenretError("paper: found no points of the preset 'paper'")
    over_items = "Table 4a: milliseconds of a step beyond an unconstrained one, by items, V = 2,048"
    over_codes = "Table 4b: the same by codes of a level, 10,000,000 items"
    return [
        *(_inside(line) for line in points if line["sizes"]["model"] is not None),
        _grown(over_items, "items", OVER_ITEMS, by_items),
        _grown(over_codes, "codes", OVER_CODES, by_codes),
    ]


def _grown(title: str, axis: str, theirs: Mapping[str, Any], ours: Mapping[int, Line]) -> Table:
    """Return a table of the steps' times over an axis, theirs and ours, and how each grows."""
    rows = []
    for size, said in theirs.items():
        cells = [_figure(ours.get(int(size)), method) for method in OURS.values()]
        pairs = [f"{_number(x)}, {y}" for x, y in zip(said, cells, strict=False)]
        rows.append([f"{int(size):,}", *pairs, cells[-1]])
    slopes = [
        _slope({s: _time(line, method) for s, line in ours.items()}) for method in OURS.values()
    ]
    measured = {int(size): said for size, said in theirs.items() if int(size) in ours}
    of_paper = [_slope({s: said[n] for s, said in measured.items()}) for n in range(len(COLUMNS))]
    pairs = [f"{x}, {y}" for x, y in zip(of_paper, slopes, strict=False)]
    rows.append([f"growth with the {axis}: slope of the logarithms", *pairs, slopes[-1]])
    beside = [f"{name}: paper, measured here" for name in COLUMNS]
    return Table(title, [axis, *beside, "genret: measured here"], rows)


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
