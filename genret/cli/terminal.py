"""Safe output to a terminal: no control characters, any encoding, no noise from libraries."""

import contextlib
import io
import json
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO

CELL = 200
"""Longest text of a cell of a table: three lines of an ordinary terminal."""
_LINE = 4000
"""Longest line that is printed whole."""

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0 and C1: escape sequences begin with one of them
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # change the direction of what follows
    "\u2028\u2029\ufeff\ufff9-\ufffb"  # line ends of Unicode, and marks that nobody sees
    "\ud800-\udfff]"  # halves of characters: bytes of a file name that are no UTF-8
)


class Terminated(BaseException):
    """SIGTERM arrived: everything open must be closed, as after Ctrl-C."""

    exit_status = 128 + signal.SIGTERM


def printable(text: str, limit: int = _LINE) -> str:
    r"""Return a text that does nothing to a terminal but show characters.

    Control characters, marks that change the direction of writing, and lone surrogates are escaped,
    so that a title cannot move the cursor, clear the screen or hide what follows. Text longer than
    ``limit`` is truncated.

    >>> print(printable("\x1b[2Jlamp\u202e"))
    \x1b[2Jlamp\u202e
    >>> printable("a" * 12, limit=5)
    'aaaa…'
    """
    shown = _UNSAFE.sub(_spelled, text[: limit + 1])
    return shown if len(shown) <= limit and len(text) <= limit else shown[: limit - 1] + "…"


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as Python keeps it in file names
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def printable_json(value: Any, encoding: str | None) -> str:
    r"""Return a JSON document for a stream, complete.

    Characters that would control a terminal, and characters that the encoding lacks, become JSON
    escapes.

    >>> printable_json("Café \x9b2J", "utf-8"), printable_json("Café", "ascii")
    ('"Café \\u009b2J"', '"Caf\\u00e9"')
    """
    text = json.dumps(value, indent=1, ensure_ascii=False)
    text = _UNSAFE.sub(lambda m: m[0] if m[0] == "\n" else f"\\u{ord(m[0]):04x}", text)
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return json.dumps(value, indent=1)
    return text


@contextlib.contextmanager
def orderly() -> Iterator[None]:
    """Prepare the process for a command, and restore it afterwards.

    Characters that the output cannot encode become a replacement instead of an error after the
    work was done; SIGTERM raises :class:`Terminated`; warnings are one line; libraries that write to
    standard error from C++ are told to say errors only.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    _open_what_is_closed()
    before = [_tolerant(stream) for stream in (sys.stdout, sys.stderr)]
    try:
        with _signals(), warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    finally:
        for stream, errors in before:
            if stream is not None and not stream.closed:
                with contextlib.suppress(OSError, ValueError):
                    stream.reconfigure(errors=errors)


@contextlib.contextmanager
def descriptor_aside() -> Iterator[None]:
    """Drop what is written to file descriptor 2; what Python writes to ``sys.stderr`` still arrives."""
    stream, is_own = sys.stderr, sys.stderr is sys.__stderr__
    try:
        kept = os.dup(2)
    except OSError:  # it is closed: nobody listens
        kept = None
    if kept is None or stream is None:
        yield
        return
    stream.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        if is_own:
            sys.stderr = io.TextIOWrapper(
                io.FileIO(kept, "w", closefd=False),
                stream.encoding,
                stream.errors,
                write_through=True,
            )
        yield
    finally:
        sys.stderr = stream
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


_QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "2",  # XLA
    "TPU_MIN_LOG_LEVEL": "3",  # libtpu, once it runs
    "TPU_STDERR_LOG_LEVEL": "3",
    "GRPC_VERBOSITY": "ERROR",
    "GLOG_minloglevel": "2",
}
"""Variables that set what libraries log to standard error; values set by the user are kept."""


def _open_what_is_closed() -> None:
    """Let output go nowhere where the shell closed it (``>&-``), and no file take its place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _tolerant(stream: Any) -> tuple[io.TextIOWrapper | None, str]:
    """Let a stream replace what it cannot encode; return the stream and its former error handler."""
    if not isinstance(stream, io.TextIOWrapper):
        return None, ""
    before = stream.errors or "strict"
    stream.reconfigure(errors="replace")
    return stream, before


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Turn SIGTERM into an exception, if this thread may handle signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not cut the cleaning up
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"genret: warning: {printable(' '.join(str(message).split()))}", file=sys.stderr)
