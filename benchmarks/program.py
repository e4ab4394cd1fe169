"""What the programs share: options from the command line, errors in one line, tables, a JSON file."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro
from rich.console import Console
from rich.table import Table

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
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    try:
        status = run(asked, console)
    except GenretError as e:
        print(f"{name}: error: {e}", file=sys.stderr)
        return 2
    return status if isinstance(status, int) else 0


def show_table(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Print a table; all columns but the first are of numbers."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


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
