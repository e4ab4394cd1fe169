"""Compiled programs that the scorers of a node share: each is compiled once, and kept.

JAX's persistent cache keeps them, by all that a program depends on, the kind of machine included.
What it lacks is here: a scorer waits while another one compiles the same program, what a killed one
left half-written is deleted, and so is what nobody compiled for long.
"""

import contextlib
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import filelock  # comes with Ray
import jax
from jax.experimental.compilation_cache import compilation_cache

from genret.kept_programs import KEPT_DAYS, delete_entries, programs_folder
from genret.private_folders import make_private, unsafe

_LONGEST_COMPILATION = 600.0
"""Seconds that a scorer waits for another one; then it compiles by itself."""


class SharedPrograms:
    """A folder of compiled programs.

    Args:
      folder: JAX's cache folder, on a file system of this machine.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def compiling(self, program: tuple[int, int]) -> Iterator[None]:
        """Hold a program: whoever gets it next finds it compiled.

        Args:
          program: the widths of the history and of the excluded items.
        """
        if (reason := unsafe(self._folder)) is not None:
            _use_none(self._folder, reason)
            yield
            return
        name = "{}-{}".format(*program)
        lock = filelock.FileLock(self._folder / f"{name}.lock")
        busy = self._folder / f"{name}.busy"
        # A folder that went away, or a scorer that hangs: each compiles its own.
        with contextlib.suppress(OSError, filelock.Timeout):
            lock.acquire(timeout=_LONGEST_COMPILATION)
            if busy.exists():
                killed = busy.stat().st_mtime
                delete_entries(self._folder, lambda written: written >= killed)
            busy.touch()
        try:
            yield
        finally:
            if lock.is_locked:
                busy.unlink(missing_ok=True)
            lock.release()

    def delete_old(self) -> None:
        """Delete programs of long ago: they are of models and catalogs that are gone."""
        oldest = time.time() - KEPT_DAYS * 86_400
        delete_entries(self._folder, lambda written: written < oldest)


def shared_programs() -> SharedPrograms | None:
    """Keep compiled programs where JAX was told to; else in the user's cache folder.

    Who can write into that folder decides what runs here: it is used only where nobody but this
    user can.

    Returns:
      The programs; None: nothing is shared, for the folder is not safe (a warning says why), there is
      none, or JAX was told of one in an object store, where nobody can wait.
    """
    told = jax.config.values["jax_compilation_cache_dir"]
    if told and "://" in told:
        return None
    folder = Path(told) if told else programs_folder()
    try:
        make_private(folder)
    except OSError:
        return None
    if (reason := unsafe(folder)) is not None:
        _use_none(folder, reason)
        return None
    programs = SharedPrograms(folder)
    with contextlib.suppress(OSError):
        programs.delete_old()
    jax.config.update("jax_compilation_cache_dir", str(folder))
    return programs


def _use_none(folder: Path, reason: str) -> None:
    """Let JAX keep and read no programs, and say why."""
    warnings.warn(f"{folder}: compiled programs are not kept there: {reason}", stacklevel=3)
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()  # JAX opens a folder once, and keeps it
