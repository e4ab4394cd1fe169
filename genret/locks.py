"""One writer at a time: a lock on a file of this machine that a killed process loses."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from genret.errors import GenretError

_held: dict[str, tuple[int, int]] = {}
"""Locks that this process holds: real path -> (the thread that holds it, how often)."""
_guard = threading.Lock()


@contextlib.contextmanager
def hold(file: Path, refusal: str) -> Iterator[None]:
    """Hold a lock file for the length of the block.

    The lock is the operating system's: it ends with the process, however the process ends. The
    thread that holds it may take it again (a stage that runs another stage). The file says who
    holds the lock, and is deleted when the lock is given up.

    Args:
      file: the lock file; its folder exists.
      refusal: what is said where another process holds it; who that is follows in parentheses.

    Raises:
      GenretError: another process or thread holds it, or the file cannot be made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with hold(Path(folder, "lock"), f"{folder}: in use"):
    ...         sorted(os.listdir(folder))
    ...     sorted(os.listdir(folder))
    ['lock']
    []
    """
    name, me = os.path.realpath(file), threading.get_ident()
    with _guard:
        holder, times = _held.get(name, (me, 0))
        if holder != me:
            raise GenretError(f"{refusal} (another thread of this process)")
        stream = _acquire(file, refusal) if times == 0 else None
        _held[name] = (me, times + 1)
    try:
        yield
    finally:
        with _guard:
            if times:
                _held[name] = (me, times)
            else:
                del _held[name]
        if stream is not None:
            # Deleted while the lock is still held: nobody can hold a file of this name meanwhile.
            with contextlib.suppress(OSError):
                os.unlink(file)
            stream.close()


def _acquire(file: Path, refusal: str) -> TextIO:
    """Lock the file of this name; repeat where its holder deleted it meanwhile."""
    import fcntl  # there is none on Windows

    while True:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            stream = os.fdopen(
                os.open(file, flags, 0o644), "r+", encoding="utf-8", errors="replace"
            )
        except OSError as e:
            raise GenretError(f"{file}: cannot be locked: {e.strerror or e}") from e
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = stream.read(200).strip()
            stream.close()
            raise GenretError(f"{refusal} ({who or 'another process'})") from None
        except OSError as e:
            stream.close()
            raise GenretError(f"{file}: cannot be locked: {e.strerror or e}") from e
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(stream.fileno()), os.stat(file)):
                break
        stream.close()
    stream.truncate(0)
    stream.write(f"process {os.getpid()} on {socket.gethostname()}")
    stream.flush()
    return stream
