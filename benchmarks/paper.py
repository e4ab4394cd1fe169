"""A run of the preset "paper" beside the tables of the STATIC paper (arXiv 2602.22647).

    python -m benchmarks paper FILE
    python -m benchmarks paper FILE --markdown

Theirs are milliseconds of a TPU v6e, ours of whatever machine the run is of; what can be compared is
the order of the methods and how each grows: the slope of log(time) against log(size).
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

COLUMNS = {
    "STATIC": "static-style", "hash bitmap": "hash-bitmap", "PPV approximate": "ppv-top50",
    "PPV exact": "ppv-exact", "CPU trie": "cpu-trie",
}  # fmt: skip
"""The paper's methods, and ours of the same algorithm."""

OURS = {**COLUMNS, "genret": "genret"}

OVER_ITEMS: dict[int, tuple[float | None, ...]] = {
    10**5: (0.023, 12.335, 0.588, 6.375, 27.070),
    10**6: (0.030, 12.339, 0.846, 15.368, 27.579),
    10**7: (0.034, 12.341, 1.486, 31.765, 28.060),
    2 * 10**7: (0.033, 12.343, 1.564, 34.116, 31.336),
    10**8: (0.039, 12.331, 1.713, 38.691, None),
}
"""Table 4a: milliseconds of a step over an unconstrained one, V = 2048; None: out of memory."""

OVER_CODES: dict[int, tuple[float | None, ...]] = {
    256: (0.040, 1.554, 1.584, 6.004, 27.359),
    512: (0.041, 3.094, 1.543, 10.586, 27.853),
    1024: (0.038, 6.180, 1.509, 18.360, 29.239),
    2048: (0.034, 12.341, 1.486, 31.765, 31.176),
    4096: (0.034, 24.620, 1.620, 57.066, 29.810),
    8192: (0.041, 49.191, 1.668, 107.015, 29.383),
    16_384: (0.044, 98.273, 1.824, 287.181, 30.885),
    32_768: (0.041, 196.474, 2.093, 578.738, 31.676),
}
"""Table 4b: the same at |C| = 10^7."""

INSIDE: dict[str, tuple[float, float]] = {
    "STATIC": (0.033, 0.0025), "hash bitmap": (12.3, 0.94), "PPV approximate": (1.56, 0.119),
    "PPV exact": (34.1, 2.60), "CPU trie": (31.3, 2.39),
}  # fmt: skip
"""Table 1: milliseconds over an unconstrained step at |C| = 2 * 10^7, and as a share of it."""


@dataclasses.dataclass(frozen=True)
class Paper:
    """Print a run of the preset "paper" beside the paper's tables."""

    file: tyro.conf.Positional[Path]  # JSON of the run.
    markdown: bool = False  # Print Markdown.

    def main(self, console: Console) -> int:
        """Print the tables."""
        document = read(self.file)
        environment, lines = document["environment"], list(document["points"].values())
        if self.markdown:
            print(markdown(environment, lines))
            return 0
        for table in tables(lines):
            table.show(console)
        for text in (*orders(lines), _machines(environment)):
            console.print(text)
        return 0


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
    given = [line for line in points if line["sizes"]["model"] is None]
    by_items = {x["sizes"]["items"]: x for x in given if x["sizes"]["codes"] == 2048}
    by_codes = {x["sizes"]["codes"]: x for x in given if x["sizes"]["items"] == 10**7}
    if not by_items or any(x["sizes"]["depth"] != 8 for x in given):
        raise GenretError("paper: found no points of the preset 'paper'")
    over_items = "Table 4a: ms of a step over an unconstrained one, V = 2,048"
    over_codes = "Table 4b: the same over V, |C| = 10,000,000"
    return [
        *(_inside(line) for line in points if line["sizes"]["model"] is not None),
        _grown(over_items, "|C|", OVER_ITEMS, by_items),
        _grown(over_codes, "V", OVER_CODES, by_codes),
    ]


def _grown(
    title: str, axis: str, theirs: Mapping[int, tuple[float | None, ...]], ours: Mapping[int, Line]
) -> Table:
    """Return a table of the steps' times over an axis, theirs and ours."""
    columns = [axis, *(f"{name}: paper, measured" for name in COLUMNS), "genret: measured"]
    rows = []
    for size, said in theirs.items():
        own = [_figure(ours.get(size), method) for method in OURS.values()]
        both = [f"{_number(x)}, {y}" for x, y in zip(said, own[:-1], strict=True)]
        rows.append([f"{size:,}", *both, own[-1]])
    slopes = [_slope({s: _time(x, own) for s, x in ours.items()}) for own in OURS.values()]
    both = [
        f"{_slope({s: row[n] for s, row in theirs.items() if s in ours})}, {own}"
        for n, own in enumerate(slopes[:-1])
    ]
    return Table(title, columns, [*rows, [f"slope in {axis}", *both, slopes[-1]]])


def orders(points: Sequence[Line]) -> list[str]:
    """Say the order of the methods at the most items of Table 4a that were measured, cheapest first.

    After each method stand the milliseconds of a step over an unconstrained one.
    """
    measured = {
        line["sizes"]["items"]: line
        for line in points
        if line["sizes"]["model"] is None and line["sizes"]["codes"] == 2048
    }
    most = max(size for size in measured if size in OVER_ITEMS)
    own = {name: _time(measured[most], method) for name, method in OURS.items()}
    said = []
    for whose, costs in (
        ("paper", dict(zip(COLUMNS, OVER_ITEMS[most], strict=True))),
        ("measured", own),
    ):
        known = sorted((ms, name) for name, ms in costs.items() if ms is not None)
        order = ", ".join(f"{name} {ms:.3f}" for ms, name in known)
        said.append(f"order at |C| = {most:,}, V = 2,048, {whose}: {order}")
    absent = [
        f"{name} ({_figure(measured[most], OURS[name])})" for name, ms in own.items() if ms is None
    ]
    if absent:
        said[-1] += f"; without a figure: {', '.join(absent)}"
    return said


def _machines(environment: Mapping[str, Any]) -> str:
    return (
        f"theirs: TPU v6e, B = 2, M = 70, L = 8; measured: {environment.get('processor')}, "
        f"{environment.get('cores')} cores, the same B, M and L"
    )


def _inside(line: Line) -> Table:
    """Return Table 1: a step inside a transformer, as a share of it without a constraint."""
    base, sizes = line["methods"]["unconstrained"].get("step_ms") or 0, line["sizes"]
    rows = []
    for name, own in OURS.items():
        said = "" if name not in INSIDE else f"+{INSIDE[name][0]:g} ms, {INSIDE[name][1]:.2%}"
        over = _time(line, own)
        ours = _figure(line, own)
        if over is not None and base:
            ours = f"{over:+.3f} ms, {over / base:.1%}"
        rows.append([name, said, ours])
    title = (
        f"Table 1: a step over an unconstrained one inside a transformer (theirs: 13 ms a step, "
        f"|C| = 20,000,000; here: {sizes['model']}, {base:.0f} ms a step, |C| = {sizes['items']:,})"
    )
    return Table(title, ["method", "paper says", "measured here"], rows)


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
    if len(pairs) < 2:
        return "none"
    x, y = np.log(pairs).T
    return f"{np.polyfit(x, y, 1)[0]:.2f}"
