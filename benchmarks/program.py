"""What the programs share: options from the command line, points, bars, and errors in one line."""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import tyro
from rich.console import Console

from benchmarks.bars import Bar, evaluate
from benchmarks.process import Figures
from benchmarks.record import Points, Record, environment, write_text
from benchmarks.tables import Columns, Table, bars_table, page_of
from genret.errors import GenretError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """A program that measures points, judges bars and shows tables; its fields are its options.

    A subclass says which points there are, and which bars are asked of them. Its docstring is its help.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    bars: ClassVar[Sequence[Bar]] = ()
    columns: ClassVar[Columns] = {}
    small: ClassVar[Mapping[str, Any]] = {}  # the options of --smoke
    how: ClassVar[str] = ""  # how the figures came about, as the page says it

    json: Path | None = None
    """File to write, a point as soon as it is measured."""
    only: tuple[str, ...] = ()
    """Parts of points' names: measure the points with any of them."""
    resume: bool = False
    """Keep the points that the JSON file holds."""
    smoke: bool = False
    """Small sizes: shows that it works. Bars that are missed do not count."""
    page: Path | None = None
    """HTML file to write at the end: tables and pictures, without a network."""

    def points(self) -> Points:
        """Return what measures each point, by its key."""
        raise NotImplementedError

    def heading(self) -> Figures:
        """Return what a run's file says before its points; a run is resumed under one preset."""
        options = {k: str(v) if isinstance(v, Path) else v for k, v in vars(self).items()}
        preset = "smoke" if self.smoke else "bars"
        return {"preset": preset, "options": options, "environment": environment()}

    def tables(self, document: Figures) -> list[Table]:
        """Return the tables of a run; none without columns, as each point is said when it is measured."""
        points = document["points"]
        return [Table.of(self.title, self.columns, points, "point")] if self.columns else []

    def pictures(self, document: Figures) -> list[str]:
        """Return the pictures of a run's page, as HTML."""
        return []

    def html(self, document: Figures) -> str:
        """Return the page of a run."""
        tables, about = self.tables(document), document["environment"]
        return page_of(self.title, about, tables, self.how, self.pictures(document))

    def measured(self, console: Console) -> Figures:
        """Measure the points that are missing, judge the bars and show both; return the document."""
        sized = dataclasses.replace(self, **self.small) if self.smoke else self
        points = some(sized.points(), self.only)
        heading = {"program": self.name, **sized.heading()}
        record = Record(self.json, heading, resume=self.resume, say=console.print)
        for key, measure in points.items():
            record.point(key, measure)
        document = record.document
        evaluate(document, self.bars)
        document["not_measured"] = [b.name for b in self.bars if b.name not in document["bars"]]
        record.write()
        for table in (*self.tables(document), *([bars_table(document)] if self.bars else [])):
            table.show(console)
        if self.page is not None:
            write_text(self.page, self.html(document))
            console.print(f"page: {self.page}")
        return document

    def main(self, console: Console) -> int:
        """Measure; return 1 where a point failed or a bar is missed."""
        document = self.measured(console)
        missed = not all(verdict["met"] for verdict in document["verdicts"].values())
        failed = any("error" in point for point in document["points"].values())
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


def make_main(program: Any, name: str = "") -> Callable[..., int]:
    """Return the ``main(argv=None)`` of ``python -m NAME``.

    It reads the program's fields from the command line, calls its ``main(console)`` and returns the exit
    status: what that returned, or 2 for a :class:`GenretError`, which is one line.
    """
    name = name or program.name

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
