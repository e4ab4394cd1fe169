"""What the programs share: options from the command line, errors in one line, tables, a JSON file."""

import dataclasses
import html
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import rich.table
import tyro
from rich.console import Console

from benchmarks.record import sentence, write_json
from genret.errors import GenretError

Options = TypeVar("Options")


def run_program(
    name: str,
    options: type[Options],
    run: Callable[[Options, Console], object],
    argv: Sequence[str] | None = None,
) -> int:
    """Read the options of ``python -m NAME`` and run it; return the exit status.

    A :class:`GenretError` is one line and status 2. What ``run`` returns is the status where it is an int.
    """
    asked = tyro.cli(options, args=argv, prog=f"python -m {name}")
    # A table that is piped into a file need not be as narrow as a terminal of 80 columns.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    try:
        status = run(asked, console)
    except GenretError as e:
        print(f"{name}: error: {e}", file=sys.stderr)
        return 2
    return status if isinstance(status, int) else 0


def make_main(
    name: str, options: type[Options], run: Callable[[Options, Console], object]
) -> Callable[..., int]:
    """Return the ``main(argv=None)`` of a program: see :func:`run_program`."""
    return lambda argv=None: run_program(name, options, run, argv)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of strings. The last cell of a row that is too short says why there are no figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

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


def show_table(
    console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Print a table; all columns but the first are of numbers."""
    Table(title, columns, rows).show(console)


def finish(document: Mapping[str, Any], out: Path | None, console: Console) -> None:
    """Say the bars of a document and write it."""
    for name, judged in document["bars"].items():
        console.print(sentence(name, judged))
    if out is not None:
        write_json(out, document)


def replace_block(page: str, new: str, begin: str, end: str, name: str) -> str:
    """Return a page with what stands between two marks, and the marks, replaced.

    Raises:
      GenretError: the marks are not there once each.
    """
    if page.count(begin) != 1 or page.count(end) != 1:
        raise GenretError(f"{name}: expected {begin} and {end} once each")
    before, rest = page.split(begin)
    return before + new + rest.split(end)[1]
