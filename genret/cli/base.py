"""What every verb shares: global options, and how it speaks to the terminal."""

import contextlib
import dataclasses
import logging
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Union

import tyro
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from genret.artifacts import Run
from genret.cli.terminal import CELL, printable, printable_json
from genret.config import Config, require

RunFolder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
"""Type of the positional argument that names the run folder."""


ReadyCodes = Annotated[Path | None, tyro.conf.arg(name="from", aliases=("--codes",))]
"""Type of the option ``--from``, a word that Python keeps for itself."""

_SAY_EVERY = 30.0
"""Seconds between two lines of progress where there is no terminal."""


def parse(verbs: Mapping[str, type["Verb"]], argv: Sequence[str] | None) -> "Verb":
    """Parse a command line into one of ``verbs``; nested configurations give flat options."""
    choices: Any = tuple(Annotated[cls, tyro.conf.subcommand(name)] for name, cls in verbs.items())
    any_verb: Any = Union[choices]  # noqa: UP007 (made at run time)
    return tyro.cli(
        any_verb,
        prog="genret",
        description="Generative retrieval: every answer is an item of the catalog.",
        args=argv,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )


def refuse_options(option: str, *configs: Config, but: Collection[str] = ()) -> None:
    """Refuse options that another one makes needless: they would not be read.

    An option that is given its default value cannot be told from one that is not given.

    Args:
      option: what stands for them.
      configs: where they are.
      but: names of fields that are read.

    Raises:
      GenretError: one of them is not at its default.

    >>> from genret.config import TrainConfig
    >>> refuse_options("--recipe", TrainConfig(steps=3), but=["steps"])
    """
    given = [name for config in configs for name in _changed(config) if name not in but]
    options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
    require(not given, f"{option}: found with {options}, expected without: it stands for them")


def _changed(config: Config) -> Iterator[str]:
    """Return the fields that are not at their defaults, also those of nested configurations."""
    default = type(config)()
    for name, usual in vars(default).items():
        value = getattr(config, name)
        if isinstance(value, Config):
            yield from _changed(value)
        elif value != usual:
            yield name


class Reporter:
    """Prints stages, tables and progress for people, or one JSON document for programs.

    With ``as_json`` nothing but the result goes to standard output; progress and logs always go
    to standard error.
    """

    def __init__(self, *, as_json: bool = False, log_level: str = "warning") -> None:
        self.as_json = as_json
        self.out = Console(quiet=as_json, highlight=False)
        self.err = Console(stderr=True, highlight=False)
        handler = RichHandler(console=self.err, show_path=False)
        handler.setFormatter(_PrintableFormatter("%(message)s"))
        if log_level != "debug":
            # Orbax logs the traceback of each of its threads before it raises what we report.
            handler.addFilter(lambda record: record.name != "absl")
        logging.basicConfig(level=log_level.upper(), handlers=[handler], force=True)

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Print a heading, run the block, print how long it took."""
        shown = _plain(title)
        self.out.print(f"[bold]== {shown}[/bold]")
        start = time.perf_counter()
        yield
        self.out.print(f"   [dim]{shown}: {time.perf_counter() - start:.1f} s[/dim]")

    def say(self, text: str) -> None:
        """Print a line (no markup, and not cut in pieces: a path stays one)."""
        self.out.print(f"   {printable(text)}", markup=False, soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table; numbers are right-aligned."""
        table = Table(title=_plain(title), title_justify="left", title_style="bold")
        for i, name in enumerate(columns):
            numeric = bool(rows) and all(isinstance(r[i], int | float) for r in rows)
            table.add_column(_plain(name), justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(
                *(
                    f"{v:.4f}"
                    if isinstance(v, float)
                    else f"{v:,}"
                    if isinstance(v, int)
                    else _plain(v)
                    for v in row
                )
            )
        self.out.print(table)

    @contextlib.contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[..., None]]:
        """Show a bar on standard error; the block gets ``advance(n=1, note="")``."""
        columns = (
            TextColumn("   {task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(
            *columns, console=self.err, transient=True, disable=not self.err.is_terminal
        ) as bar:
            task = bar.add_task(title, total=total, note="")

            def advance(n: int = 1, note: str | None = None) -> None:
                bar.update(task, advance=n)
                if note is not None:
                    bar.update(task, note=note)

            yield advance

    @contextlib.contextmanager
    def counting(self, title: str) -> Iterator[Callable[[int, str], None]]:
        """Show a count on standard error where nobody knows the total; ``advance(n, note)``.

        Without a terminal a line is logged every half minute.
        """
        columns = (
            TextColumn("   {task.description}"), TextColumn("{task.completed:,.0f}"),
            TimeElapsedColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(
            *columns, console=self.err, transient=True, disable=not self.err.is_terminal
        ) as bar:
            task = bar.add_task(title, total=None, note="")
            done, said = 0, time.monotonic()

            def advance(n: int, note: str) -> None:
                nonlocal done, said
                done += n
                bar.update(task, advance=n, note=note)
                if not self.err.is_terminal and time.monotonic() - said > _SAY_EVERY:
                    said = time.monotonic()
                    logging.getLogger("genret").info("%s %s: %s", f"{done:,}", title, note)

            yield advance

    def finish(self, result: Mapping[str, Any]) -> None:
        """Print the result of the verb as JSON, where that was asked for."""
        if self.as_json:
            print(printable_json(result, sys.stdout.encoding))


def _plain(value: Any) -> str:
    from rich.markup import escape

    return escape(printable(str(value), CELL))


class _PrintableFormatter(logging.Formatter):
    """Formats log records without control characters; tracebacks keep their lines."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(printable(line) for line in super().format(record).split("\n"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verb:
    """Options that every verb has."""

    seed: int = 0
    """Seed of everything random, 0 to 4294967295."""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """How much to log to standard error."""
    json: bool = False
    """Print the result as one JSON document on standard output."""

    writes_run: ClassVar[bool] = False
    """Whether the verb writes into the run folder that it is given."""
    makes_run: ClassVar[bool] = False
    """Whether the verb makes the run folder where there is none."""

    def __post_init__(self) -> None:
        require(
            0 <= self.seed < 2**32,
            f"--seed: found {self.seed}, expected 0 to {2**32 - 1} (32 bits)",
        )

    def holding(self) -> contextlib.AbstractContextManager[None]:
        """Hold the run folder for the length of the verb, where the verb writes into it.

        Raises:
          GenretError: another process writes into it; the message says which.
        """
        folder = getattr(self, "run_folder", None)
        if not self.writes_run or folder is None:
            return contextlib.nullcontext()
        return Run.open(folder, create=self.makes_run).writing()

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Do the job; return its result as JSON values."""
        raise TypeError(f"{type(self).__name__} does not define run()")
