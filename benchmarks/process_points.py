"""Points of a training in several processes: its parameters, with and without processes that are killed."""

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from benchmarks.process import Figures, in_own_process, make_run
from benchmarks.record import Points
from genret.errors import GenretError

MODEL = (
    "--width 16 --layers 1 --heads 2 --kv-heads 2 --head-dim 8 --mlp-dim 32 --max-items 8 --batch-size 8 "
    "--eval-every 1000 --eval-users 20 --checkpoint-every 10 --log-every 10"
)
PREPARE = {
    "ingest": "--synthetic --synthetic-users 60 --synthetic-items 40",
    "embed": "--text-dim 8 --cooccurrence-dim 8",
    "tokenize": "--levels 2 --codebook-size 8",
}


def points(kills: int, steps: int) -> Points:
    """Train in one process on several devices, in as many processes, and in two that are killed."""
    return {
        **{f"processes: {count}": functools.partial(_processes, count, steps) for count in (2, 4)},
        f"kills: {kills} of 2 processes": functools.partial(_kills, kills, steps),
    }


def _processes(count: int, steps: int) -> Figures:
    with _two_runs() as (one, several):
        _end(_start(one, steps, count, processes=1))
        _end(_start(several, steps, count, processes=count))
        found, expected = (load_file(run / "model" / "model.safetensors") for run in (several, one))
    apart = max(float(np.abs(found[name] - expected[name]).max()) for name in expected)
    return {"steps": steps, "largest_difference": apart, "equal": int(apart <= 1e-5)}


def _kills(kills: int, steps: int) -> Figures:
    rng = np.random.default_rng()
    at: list[int] = []
    with _two_runs() as (whole, killed):
        _end(_start(whole, steps, 2, processes=2))
        for _ in range(kills):
            both = _start(killed, steps, 2, processes=2)
            before = _last_checkpoint(killed)
            while _last_checkpoint(killed) == before and both[0].poll() is None:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.1))
            both[rng.integers(2)].send_signal(signal.SIGKILL)
            for process in both:
                process.wait(timeout=300)
            at.append(_last_checkpoint(killed))
        _end(_start(killed, steps, 2, processes=2))
        files = ("model.safetensors", "metrics.jsonl", "manifest.json")
        one, other = (
            [(run / "model" / name).read_bytes() for name in files] for run in (whole, killed)
        )
    return {"steps": steps, "kills": kills, "checkpoints": at, "equal": int(one == other)}


@contextlib.contextmanager
def _two_runs() -> Iterator[tuple[Path, Path]]:
    """Give two equal small runs, ready to be trained; they are deleted in the end."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, "first"), Path(folder, "second")
        in_own_process(functools.partial(make_run, first, **PREPARE))
        shutil.copytree(first, second)
        yield first, second


def _start(run: Path, steps: int, devices: int, processes: int) -> list[subprocess.Popen[bytes]]:
    """Start a training on several devices, which the processes share."""
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices // processes}",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": f"{run.parent}/compiled",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    train = ("train", str(run), *MODEL.split(), "--steps", str(steps), "--mesh", f"data={devices}")
    command = [sys.executable, "-m", "genret", *train]
    if processes > 1:
        command += ["--coordinator", f"localhost:{port}", "--num-processes", str(processes)]
    numbers = [["--process-id", str(n)] if processes > 1 else [] for n in range(processes)]
    quiet = subprocess.DEVNULL
    start = functools.partial(subprocess.Popen, env=environment, stdout=quiet, stderr=quiet)
    return [start([*command, *number]) for number in numbers]


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    statuses = [process.wait(timeout=600) for process in processes]
    if any(statuses):
        raise GenretError(f"train: found exit statuses {statuses}, expected 0")


def _last_checkpoint(run: Path) -> int:
    """Return the newest step that is kept; 0: none."""
    return max((int(x.name[5:]) for x in (run / "checkpoints").glob("step-*")), default=0)
