"""How the stages of the pipeline report what they do."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Receives what a stage reports while it runs; the command line prints it."""

    def stage(self, title: str) -> AbstractContextManager[None]:
        """Start a stage, which ends with the block."""
        ...

    def say(self, text: str) -> None:
        """Report one line of text."""
        ...

    def progress(self, title: str, total: int) -> AbstractContextManager[Callable[..., None]]:
        """Start work of ``total`` parts; the block calls ``advance(n=1, note=None)`` as it proceeds."""
        ...


class Silent:
    """A :class:`Progress` that discards everything: the default of every stage.

    >>> with Silent().progress("parts", 2) as advance:
    ...     advance()
    """

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Run the block."""
        yield

    def say(self, text: str) -> None:
        """Discard the line."""

    @contextlib.contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[..., None]]:
        """Run the block with a function that does nothing."""
        yield lambda *_, **__: None


SILENT = Silent()
