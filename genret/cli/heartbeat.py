"""A line every half minute about long work, if there is no terminal to draw a bar on."""

import threading
import time
from collections.abc import Callable
from types import TracebackType


class Heartbeat:
    """Reports the state of some work at regular intervals, from its own thread.

    The thread also reports while the count stands still, for example during a compilation.

    Args:
      title: what is counted.
      total: how much there is; None if that is unknown.
      tell: called with each line.
      every: seconds between two lines.
      clock: gives the time in seconds.

    >>> lines = []
    >>> beat = Heartbeat("steps", 600, lines.append, every=30.0, clock=iter([0.0, 30.0]).__next__)
    >>> beat.advance(150, "loss 2.1")
    >>> beat.line()
    'steps: 150 of 600 (25 %), 5.0 a second, 1 min 30 s left; loss 2.1'
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        tell: Callable[[str], object],
        *,
        every: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title, self._total, self._tell = title, total, tell
        self._every, self._clock = every, clock
        self._start = clock()
        self._done, self._note = 0, ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def advance(self, n: int = 1, note: str | None = None) -> None:
        """Count ``n`` parts as done; ``note`` replaces the remark after the count."""
        self._done += n
        if note is not None:
            self._note = note

    def line(self) -> str:
        """Return the line that describes the present state."""
        seconds = self._clock() - self._start
        rate = self._done / seconds if seconds > 0 else 0.0
        parts = [f"{self._title}: {self._done:,}"]
        if self._total is not None:
            share = self._done / self._total if self._total else 1.0
            parts[0] += f" of {self._total:,} ({share:.0%})".replace("%", " %")
        parts.append(f"{rate:,.1f} a second" if self._done else f"{_spelled(seconds)} so far")
        if self._total is not None and self._done:
            parts.append(f"{_spelled((self._total - self._done) / rate)} left")
        return ", ".join(parts) + (f"; {self._note}" if self._note else "")

    def _beat(self) -> None:
        while not self._ended.wait(self._every):
            self._tell(self.line())


def _spelled(seconds: float) -> str:
    """Format a duration in its two largest units.

    >>> _spelled(5.0), _spelled(90.0), _spelled(7260.0)
    ('5 s', '1 min 30 s', '2 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
