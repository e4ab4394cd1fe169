"""What the programs share: options from the command line, errors in one line, tables, a JSON file."""

import dataclasses
import html
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rich.table
import tyro
from rich.console import Console

from benchmarks.bars import Bar, sentence, verdicts
from benchmarks.record import write_json
from genret.errors import GenretError


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


Columns = Mapping[str, tuple[str, str | Callable[[Any], str]]]


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

    def __iter__(self) -> Any:
        """Return title, columns and rows in turn."""
        return iter((self.title, self.columns, self.rows))

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
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
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


def finish(
    document: Mapping[str, Any],
    bars: Iterable[Bar],
    out: Path | None,
    console: Console,
    *tables: Table,
) -> int:
    """Show the tables of a document, judge its bars and write it; return 1 where one is missed."""
    judged = verdicts(document, bars)
    for table in tables:
        table.show(console)
    for name, verdict in judged.items():
        console.print(sentence(name, verdict))
    write_json(out, {**document, "bars": judged})
    return int(not all(verdict["met"] for verdict in judged.values()))


def replace_block(page: str, new: str, begin: str, end: str, name: str) -> str:
    """Return a page with what stands between two marks, and the marks, replaced.

    Raises:
      GenretError: the marks are not there once each.
    """
    if page.count(begin) != 1 or page.count(end) != 1:
        raise GenretError(f"{name}: expected {begin} and {end} once each")
    before, rest = page.split(begin)
    return before + new + rest.split(end)[1]
