"""What all verbs share: global options, parsing, and output to the terminal."""

import contextlib
import dataclasses
import functools
import logging
import sys
import time
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
from genret.cli.heartbeat import Heartbeat
from genret.cli.terminal import CELL, printable, printable_json
from genret.cli.usage import parsed_or_refused
from genret.config import Config, require

RunFolder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
"""Type of the positional argument that names the run folder."""


ReadyCodes = Annotated[Path | None, tyro.conf.arg(name="from", aliases=("--codes",))]
"""Type of the option ``--from``, which is a reserved word of Python."""

NO_OPTION = (tyro.conf.Fixed, tyro.conf.Suppress)
"""Marks fields that a run fills in, so that they do not become options."""

SAY_EVERY = 30.0
"""Seconds between two lines of progress if the output is not a terminal."""


def parse(verbs: Mapping[str, type["Verb"]], argv: Sequence[str] | None) -> "Verb":
    """Parse a command line into one of ``verbs``; nested configurations become flat options.

    Args:
      verbs: name -> class of the verbs.
      argv: the words after ``genret``; None takes those of the process.

    Raises:
      GenretError: the words do not parse.
      SystemExit: they ask for help, which was printed.
    """
    choices: Any = tuple(Annotated[cls, tyro.conf.subcommand(name)] for name, cls in verbs.items())
    any_verb: Any = Union[choices]  # noqa: UP007 (made at run time)
    words = sys.argv[1:] if argv is None else argv
    read = functools.partial(
        tyro.cli,
        any_verb,
        prog="genret",
        description="Generative retrieval: every answer is an item of the catalog.",
        args=words,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )
    asks_for_help = not {"-h", "--help"}.isdisjoint(words)
    verb: Verb = read() if asks_for_help else parsed_or_refused(read, words)
    object.__setattr__(verb, "_given", names_given(words))
    return verb


def brief(cls: type[Any], shown: Collection[str]) -> type[Any]:
    """Return a copy of an options class whose help shows only some of the fields."""
    fields: list[tuple[str, Any, Any]] = []
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        hint: Any = hints[field.name]
        default = (
            dataclasses.field(default=field.default, default_factory=field.default_factory)
            if field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
            else dataclasses.field()
        )
        if isinstance(hint, type) and issubclass(hint, Config):
            part = brief(hint, shown)
            fields.append((field.name, part, dataclasses.field(default_factory=part)))
        elif field.name not in shown:
            fields.append((field.name, Annotated[hint, tyro.conf.Suppress], default))
    made = dataclasses.make_dataclass(cls.__name__, fields, bases=(cls,), frozen=True, kw_only=True)
    made.__doc__ = cls.__doc__
    return made


def named(names: Iterable[str]) -> Any:
    """Return the type of an option that accepts one of some names and lists them in its help."""
    return Annotated[str | None, tyro.conf.arg(metavar="{" + ",".join(names) + "}")]


def names_given(argv: Sequence[str]) -> frozenset[str]:
    """Return the names of the options of a command line, as fields are named.

    >>> sorted(names_given(["train", "runs/x", "--batch-size=3", "--no-qk-norm", "--steps", "9"]))
    ['batch_size', 'qk_norm', 'steps']
    """
    found = set()
    for token in argv:
        if token.startswith("--"):
            name = token[2:].partition("=")[0].replace("-", "_")
            found.add(name.removeprefix("no_"))
    return frozenset(found)


def _changed(config: Any) -> Iterator[str]:
    """Yield the fields that differ from their defaults, nested configurations included."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Config):
            yield from _changed(value)
        elif value != field.default:
            yield field.name


def _names(config: Config) -> Iterator[str]:
    """Yield the names of the fields, nested configurations included."""
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        if isinstance(value, Config):
            yield from _names(value)
        else:
            yield field.name


class Reporter:
    """Prints stages, tables and progress for people, or one JSON document for programs.

    With ``as_json``, only the result goes to standard output. Progress and logs always go to
    standard error.
    """

    def __init__(
        self, *, as_json: bool = False, log_level: str = "warning", say_every: float = SAY_EVERY
    ) -> None:
        self.as_json = as_json
        self.log_level = log_level
        self.say_every = say_every
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
        """Print a heading, run the block, then print how long it took."""
        shown = _plain(title)
        self.out.print(f"[bold]== {shown}[/bold]")
        start = time.perf_counter()
        yield
        self.out.print(f"   [dim]{shown}: {time.perf_counter() - start:.1f} s[/dim]")

    def say(self, text: str) -> None:
        """Print a line without markup or wrapping, so that a path stays in one piece."""
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
    def progress(self, title: str, total: int | None) -> Iterator[Callable[..., None]]:
        """Show a bar on standard error, or a line every half minute if that is not a terminal.

        The block gets ``advance(n=1, note="")``. If ``total`` is None, only the count is shown.
        """
        if not self.err.is_terminal:
            with Heartbeat(title, total, self._tell, every=self.say_every) as beat:
                yield beat.advance
            return
        columns = (
            TextColumn("   {task.description}"),
            *((BarColumn(), MofNCompleteColumn()) if total is not None
              else (TextColumn("{task.completed:,.0f}"),)),
            TimeElapsedColumn(),
            *((TimeRemainingColumn(),) if total is not None else ()),
            TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(*columns, console=self.err, transient=True) as bar:
            task = bar.add_task(_plain(title), total=total, note="")

            def advance(n: int = 1, note: str | None = None) -> None:
                bar.update(task, advance=n)
                if note is not None:
                    bar.update(task, note=_plain(note))

            yield advance

    def counting(self, title: str) -> contextlib.AbstractContextManager[Callable[..., None]]:
        """Show a count on standard error if the total is unknown; see :meth:`progress`."""
        return self.progress(title, None)

    def _tell(self, text: str) -> None:
        """Print a line on standard error, unless the log level asks for errors alone."""
        if self.log_level != "error":
            self.err.print(f"   {printable(text)}", markup=False, soft_wrap=True)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Print the result of the verb as JSON if ``--json`` was given."""
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
    """Whether the verb creates the run folder if it does not exist."""

    computes: ClassVar[bool] = False
    """Whether the verb computes with JAX."""

    def __post_init__(self) -> None:
        require(
            0 <= self.seed < 2**32,
            f"--seed: found {self.seed}, expected 0 to {2**32 - 1} (32 bits)",
        )

    @property
    def given(self) -> frozenset[str]:
        """Names of the options that were given; in Python, of the fields that differ from the defaults."""
        named: frozenset[str] | None = getattr(self, "_given", None)
        return frozenset(_changed(self)) if named is None else named

    def needs_devices(self) -> bool:
        """Say whether this process needs JAX's devices."""
        return self.computes

    def refuse(self, option: str, *configs: Config, but: Collection[str] = ()) -> None:
        """Refuse options that another option replaces, because they would have no effect.

        Args:
          option: the option that replaces them.
          configs: the configurations that they belong to.
          but: names of fields that still have an effect.

        Raises:
          GenretError: one of them was given.
        """
        known = {name for config in configs for name in _names(config)}
        found = sorted(known & self.given - set(but))
        options = ", ".join(f"--{name.replace('_', '-')}" for name in found)
        require(not found, f"{option}: found with {options}, expected without: it stands for them")

    def joined(self) -> contextlib.AbstractContextManager[None]:
        """Join the other processes of the job while the verb runs, if it has any.

        Raises:
          GenretError: some of them do not come.
        """
        processes = getattr(self, "processes", None)
        if processes is None or processes.coordinator is None:
            return contextlib.nullcontext()
        from genret.training import joined

        return joined(processes)

    def holding(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock of the run folder while the verb runs, if the verb writes into it.

        Of several processes, the first one holds it.

        Raises:
          GenretError: another process writes into it; the message says which.
        """
        folder = getattr(self, "run_folder", None)
        processes = getattr(self, "processes", None)
        if not self.writes_run or folder is None or (processes and processes.coordinator):
            return contextlib.nullcontext()
        return Run.open(folder, create=self.makes_run).writing()

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Do the job; return its result as JSON values."""
        raise TypeError(f"{type(self).__name__} does not define run()")
