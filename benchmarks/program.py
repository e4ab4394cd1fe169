"""What the programs share: options from the command line, points, bars, tables, and errors in one line."""

import dataclasses
import html
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import rich.table
import tyro
from rich.console import Console

from benchmarks.bars import Bar, evaluate
from benchmarks.process import Figures
from benchmarks.record import Points, Record, environment
from genret.errors import GenretError

Columns = Mapping[str, tuple[str, str | Callable[[Any], str]]]
"""Title of each column of a table, the name of its figure, and the figure's form."""


T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A program that measures points, judges bars and shows tables; its fields are its options.

    A subclass says which points there are, and which bars are asked of them. Its docstring is its help.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    bars: ClassVar[Sequence[Bar]] = ()
    columns: ClassVar[Columns] = {}

    json: Path | None = None
    """File to write, a point as soon as it is measured."""
    only: tuple[str, ...] = ()
    """Parts of points' names: measure the points with any of them."""
    resume: bool = False
    """Keep the points that the JSON file holds."""
    smoke: bool = False
    """Small sizes: shows that it works. Bars that are missed do not count."""

    def points(self) -> Points:
        """Return what measures each point, by its key."""
        raise NotImplementedError

    def tables(self, document: Figures) -> list["Table"]:
        """Return the tables of a run; none without columns, as each point is said when it is measured."""
        points = document["points"]
        return [Table.of(self.title, self.columns, points, "point")] if self.columns else []

    def main(self, console: Console) -> int:
        """Measure the points that are missing; return 1 where one failed or a bar is missed."""
        points = some(self.points(), self.only)
        preset = "smoke" if self.smoke else "bars"
        options = {k: str(v) if isinstance(v, Path) else v for k, v in vars(self).items()}
        heading = {"program": self.name, "preset": preset, "options": options}
        heading["environment"] = environment()
        record = Record(self.json, heading, resume=self.resume, say=console.print)
        for key, measure in points.items():
            record.point(key, measure)
        evaluate(record.document, self.bars)
        found = record.document["bars"]
        record.document["not_measured"] = [bar.name for bar in self.bars if bar.name not in found]
        record.write()
        missed = show(record.document, self.tables(record.document), console)
        failed = any("error" in point for point in record.points.values())
        return int(failed or (missed and not self.smoke))


def some(points: dict[str, T], only: Sequence[str]) -> dict[str, T]:
    """Return the points with any of these parts in their names; all if there are none.

    Raises:
      GenretError: no point has one.
    """
    found = {key: x for key, x in points.items() if not only or any(part in key for part in only)}
    if not found:
        raise GenretError(
            f"only: found {' '.join(map(repr, only))}, which no point has in its name; one is "
            f"{next(iter(points))!r}"
        )
    return found


def show(document: Figures, tables: Sequence["Table"], console: Console) -> bool:
    """Print the tables and the bars of a run; return whether a bar is missed."""
    for table in (*tables, *([bars_table(document)] if document["bars"] else [])):
        table.show(console)
    if document.get("not_measured"):
        console.print(f"not measured: {', '.join(document['not_measured'])}")
    return not all(verdict["met"] for verdict in document["verdicts"].values())


def bars_table(document: Figures) -> "Table":
    """Return the bars of a run, what they ask for and whether they are met."""
    rows = {}
    for name, value in document["bars"].items():
        judged = document["verdicts"].get(name, {})
        asked = None
        if judged.get("bar") is not None:
            asked = f"{'at most' if judged['at_most'] else 'at least'} {judged['bar']:.4g}"
        met = {True: "met", False: "MISSED"}.get(judged.get("met"))
        rows[name] = {"value": value, "asked": asked, "met": met}
    said: Callable[[Any], str] = lambda x: f"{x:.4g}" if isinstance(x, float) else str(x)  # noqa: E731
    columns: Columns = {
        "measured": ("value", said), "asked for": ("asked", "{}"), "": ("met", "{}")
    }  # fmt: skip
    return Table.of("Bars", columns, rows, "bar")


def make_main(name: str, program: type) -> Callable[..., int]:
    """Return the ``main(argv=None)`` of ``python -m NAME``.

    It reads the program's fields from the command line, calls its ``main(console)`` and returns the exit
    status: what that returned, or 2 for a :class:`GenretError`, which is one line.
    """

    def main(argv: Sequence[str] | None = None) -> int:
        asked: Any = tyro.cli(program, args=argv, prog=f"python -m {name}")
        # A table that is piped into a file need not be as narrow as a terminal of 80 columns.
        console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 200)
        try:
            return asked.main(console) or 0
        except GenretError as e:
            print(f"{name}: error: {e}", file=sys.stderr)
            return 2

    return main


def _said(value: Any, form: str | Callable[[Any], str]) -> str:
    return "" if value is None else form.format(value) if isinstance(form, str) else form(value)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of strings. The last cell of a row that is too short says why there are no figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @classmethod
    def of(
        cls,
        title: str,
        columns: Columns,
        rows: Mapping[str, Mapping[str, Any]],
        first: str = "method",
    ) -> "Table":
        """Make a table of figures.

        Args:
          title: its title.
          columns: the title of each column, the name of its figure and its form, which
            ``str.format`` takes, or a function; a column without figures is left out.
          rows: figures by the first cell of their row; ``error`` is the only other cell.
          first: title of the first column.

        >>> Table.of("", {"ms": ("ms", "{:.1f}"), "B": ("b", "{}")}, {"a": {"ms": 2}}).rows
        [['a', '2.0']]
        """
        shown = [c for c in columns.items() if any(c[1][0] in own for own in rows.values())]
        cells = [
            [name, re.sub(r"^\w+: ", "", own["error"]).removeprefix(f"{name}: ")]  # not its type
            if isinstance(own.get("error"), str)
            else [name, *(_said(own.get(figure), form) for _, (figure, form) in shown)]
            for name, own in rows.items()
        ]
        return cls(title, [first, *(column for column, _ in shown)], cells)

    def show(self, console: Console) -> None:
        """Print it; all columns but the first are of numbers."""
        table = rich.table.Table(title=self.title, title_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left", no_wrap=not number)
        for row in self.rows:
            table.add_row(*row)
        console.print(table)

    def markdown(self) -> str:
        """Return its lines, without the title."""
        width = len(self.columns)
        rows = [[*row, *[""] * (width - len(row))] for row in self.rows]
        lines = [self.columns, ["---"] * width, *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def html(self) -> str:
        """Return it with its title as a heading."""

        def row(values: Sequence[str], tag: str) -> str:
            cells = [f"<{tag}>{html.escape(value)}</{tag}>" for value in values]
            if len(values) < len(self.columns):
                span = f" colspan={1 + len(self.columns) - len(values)} class=said>"
                cells[-1] = cells[-1].replace(">", span, 1)
            return f"<tr>{''.join(cells)}</tr>"

        body = row(self.columns, "th") + "".join(row(each, "td") for each in self.rows)
        return f"<h3>{html.escape(self.title)}</h3><div class=wide><table>{body}</table></div>"


def replace_block(page: str, new: str, begin: str, end: str, name: str) -> str:
    """Return a page with what stands between two marks, and the marks, replaced.

    Raises:
      GenretError: the marks are not there once each.
    """
    if page.count(begin) != 1 or page.count(end) != 1:
        raise GenretError(f"{name}: expected {begin} and {end} once each")
    before, rest = page.split(begin)
    return before + new + rest.split(end)[1]
