"""What a training in another process reports, as messages, and how they are shown here."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from genret.pipeline._progress import Progress

Message = tuple[str, Any]
"""What is reported, and its JSON value: ``("say", "step 20 ...")``."""


class Sender:
    """A :class:`Progress` that sends what a stage reports.

    Args:
      send: takes a message.
    """

    def __init__(self, send: Callable[[Message], object]) -> None:
        self._send = send

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Tell that a stage begins."""
        self._send(("stage", title))
        yield

    def say(self, text: str) -> None:
        """Send a line."""
        self._send(("say", text))

    @contextlib.contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[..., None]]:
        """Tell that counted work begins; the block's calls are sent."""
        self._send(("progress", [title, total]))

        def advance(n: int = 1, note: str | None = None) -> None:
            self._send(("advance", [n, note]))

        yield advance


class Receiver:
    """Shows what a :class:`Sender` sends.

    A sender that was lost and started again begins its stage anew.

    Args:
      progress: where it is shown.
      on_metrics: called with the value of each message "metrics".
    """

    def __init__(
        self, progress: Progress, on_metrics: Callable[[dict[str, Any]], object] | None
    ) -> None:
        self._progress, self._on_metrics = progress, on_metrics
        self._open = contextlib.ExitStack()
        self._advance: Callable[..., None] = lambda *_: None

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._open.__exit__(*exception)

    def receive(self, message: Message) -> None:
        """Show a message."""
        name, value = message
        if name == "stage":
            self._open.close()
            self._open.enter_context(self._progress.stage(value))
        elif name == "progress":
            self._advance = self._open.enter_context(self._progress.progress(*value))
        elif name == "advance":
            self._advance(*value)
        elif name == "say":
            self._progress.say(value)
        elif self._on_metrics is not None:
            self._on_metrics(value)
