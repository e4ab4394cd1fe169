"""Work in processes of their own: its seconds and memory, and the verbs of the product."""

import contextlib
import io
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from genret.errors import GenretError

Figures = dict[str, Any]
T = TypeVar("T")


def in_own_process(function: Callable[..., T], *args: Any) -> T:
    """Call a function of a module in a fresh process and return what it returns.

    One process may be fast or slow as a whole: where its memory lies and which core a thread got is
    settled once. So figures that are compared come from several. Nor does a killed process end the run.

    Raises:
      GenretError: the process was killed, as for memory.
    """
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        try:
            return pool.submit(function, *args).result()
        except BrokenProcessPool:
            raise GenretError("the process of this point was killed (out of memory?)") from None


@contextlib.contextmanager
def timed(figures: Figures, name: str) -> Iterator[None]:
    """Put the seconds that the block takes into the figures."""
    start = time.perf_counter()
    yield
    figures[name] = time.perf_counter() - start


def verb(*arguments: object) -> Any:
    """Run a verb of ``genret`` in this process and return the JSON that it prints."""
    from genret.cli.main import main

    printed, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained):
        status = main([*map(str, arguments), "--json"])
    if status:
        said = complained.getvalue().strip()[-300:]
        raise GenretError(f"genret {arguments[0]}: ended with status {status}: {said}")
    return json.loads(printed.getvalue())


def make_run(run: Path, **verbs: str) -> Path:
    """Make a run folder by verbs of ``genret``, each with its options; return the folder."""
    for name, options in verbs.items():
        verb(name, run, *options.split())
    return run


def watched(command: Sequence[str]) -> tuple[Any, Figures]:
    """Run a command; return the JSON that it prints, and the most memory that it held, in GiB.

    ``anonymous_gib`` is the process' own memory; ``resident_gib`` also counts what it maps of files,
    which the system drops when memory is short.
    """
    # Programs that an earlier run kept would make the second one of two lighter.
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false", "JAX_PLATFORMS": "cpu"}
    environment.pop("XLA_FLAGS", None)
    most = {"RssAnon": 0.0, "VmHWM": 0.0}
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=complained)
        while process.poll() is None:
            for name, before in most.items():
                now = (proc(f"{process.pid}/status", name) or "0").split()[0]
                most[name] = max(before, int(now) / 2**20)
            time.sleep(0.01)
        said.seek(0)
        complained.seek(0)
        if process.returncode:
            raise GenretError(f"{' '.join(command)}: {complained.read().strip()[-300:]}")
        return json.loads(said.read()), {
            "anonymous_gib": most["RssAnon"],
            "resident_gib": most["VmHWM"],
        }


def peak_gib() -> float:
    """Return the most memory that this process has held so far, in GiB."""
    # Linux lets a process inherit ru_maxrss from the one that started it; VmHWM is its own.
    if sys.platform == "linux":
        return int(proc("self/status", "VmHWM").split()[0]) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def available_gib() -> float:
    """Return the memory that is free for a new process, in GiB; infinite where nobody says."""
    found = proc("meminfo", "MemAvailable")
    return int(found.split()[0]) / 2**20 if found else float("inf")


def proc(file: str, name: str) -> str:
    """Return the first value of a name in a file of /proc; "" where there is none."""
    try:
        lines = (Path("/proc") / file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith(name)), "")
