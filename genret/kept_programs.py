"""Compiled programs of the command line: kept on disk, so that the next command finds them.

JAX's persistent cache keeps them, by all that a program depends on, the kind of machine included.
It writes an entry under its final name, so a process that is killed may leave half of one: the next
command deletes what was written since that process began.
"""

import atexit
import contextlib
import functools
import logging
import operator
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

from genret.private_folders import make_private, unsafe

KEPT_DAYS = 30
"""Programs that nobody used for longer are of models and catalogs that are gone."""
_LEAST_SECONDS = 0.2
"""Programs that compile faster are not kept."""
_RUNNING = ".running"

_log = logging.getLogger(__name__)


def programs_folder() -> Path:
    """Return where this user's programs for this machine lie; a home may be on many machines."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home, "genret", "programs", platform.node())


def keep_programs() -> None:
    """Let this process keep its programs, and find those of earlier ones.

    A folder that JAX was told of (``JAX_COMPILATION_CACHE_DIR``) stays; and as whoever can write into
    the folder decides what runs here, it is used only where nobody but this user can.
    """
    import jax

    told = jax.config.values["jax_compilation_cache_dir"]
    if told or not jax.config.values["jax_enable_compilation_cache"]:
        return
    folder = programs_folder()
    try:
        make_private(folder)
        reason = unsafe(folder)
        if reason is None:
            _delete_halves(folder)
            delete_entries(folder, lambda used: used < time.time() - KEPT_DAYS * 86_400)
            mark = folder / f"{os.getpid()}{_RUNNING}"
            mark.touch(mode=0o600)
    except OSError as e:
        reason = str(e)
    if reason is not None:
        _log.info("%s: compiled programs are not kept there: %s", folder, reason)
        return
    atexit.register(mark.unlink, missing_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_SECONDS)


def delete_entries(folder: Path, unwanted: Callable[[float], bool]) -> None:
    """Delete the programs whose time of writing is unwanted."""
    for file in folder.glob("*-cache"):
        with contextlib.suppress(FileNotFoundError):
            if unwanted(file.stat().st_mtime):
                file.unlink()


def _delete_halves(folder: Path) -> None:
    """Delete what processes that were killed may have left half-written."""
    for mark in folder.glob(f"*{_RUNNING}"):
        with contextlib.suppress(FileNotFoundError, ValueError):
            if _is_alive(int(mark.stem)):
                continue
            began = mark.stat().st_mtime
            delete_entries(folder, functools.partial(operator.le, began))
            mark.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True
