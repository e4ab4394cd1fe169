"""Work in processes of their own: its seconds and memory, and the verbs of the product."""

import contextlib
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from genret.errors import GenretError

ROOT = Path(__file__).resolve().parents[1]
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


def watched(
    *words: object, cwd: Path | None = None, cache: Path | None = None
) -> tuple[str, Figures]:
    """Run Python with these words; return what it prints, its seconds, and the most GiB that it held.

    ``wall_s`` is by the clock, ``cpu_s`` on the CPU. ``anonymous_gib`` is the process' own memory;
    ``resident_gib`` also counts what it maps of files, which the system drops when memory is short.
    ``cache`` is where compiled programs are kept; without it there are none at first.
    """
    inherited = {"JAX_COMPILATION_CACHE_DIR", "XLA_FLAGS"}
    environment = {name: value for name, value in os.environ.items() if name not in inherited}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    most = {"RssAnon": 0.0, "VmHWM": 0.0}
    with tempfile.TemporaryDirectory() as scratch:
        environment |= {"PYTHONPATH": path, "XDG_CACHE_HOME": str(cache or scratch)}
        said, complained = Path(scratch, "said"), Path(scratch, "complained")
        before, start = os.times(), time.perf_counter()
        with said.open("w") as stdout, complained.open("w") as stderr:
            command = [sys.executable, *map(str, words)]
            process = subprocess.Popen(
                command, cwd=cwd, env=environment, stdout=stdout, stderr=stderr
            )
            while process.poll() is None:
                for name, held in most.items():
                    most[name] = max(held, gib(f"{process.pid}/status", name))
                time.sleep(0.01)
        wall, after = time.perf_counter() - start, os.times()
        if process.returncode:
            last = complained.read_text().strip()[-300:]
            raise GenretError(f"{command[1:]}: ended with status {process.returncode}: {last}")
        used = sum(after[2:4]) - sum(before[2:4])  # by processes that ended
        memory = {"anonymous_gib": most["RssAnon"], "resident_gib": most["VmHWM"]}
        return said.read_text(), {"wall_s": round(wall, 2), "cpu_s": round(used, 2), **memory}


def peak_gib() -> float:
    """Return the most memory that this process has held so far, in GiB."""
    return gib("self/status", "VmHWM")


def available_gib() -> float:
    """Return the memory that is free for a new process, in GiB; infinite where nobody says."""
    return gib("meminfo", "MemAvailable") or float("inf")


def gib(file: str, name: str) -> float:
    """Return a size that a file of /proc says, in GiB; 0 where there is none."""
    said = proc(file, name).split()
    return int(said[0]) / 2**20 if said else 0.0


def proc(file: str, name: str) -> str:
    """Return the first value of a name in a file of /proc; "" where there is none."""
    try:
        lines = (Path("/proc") / file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith(name)), "")
