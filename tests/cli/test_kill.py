"""``genret train`` killed again and again ends with the parameters of a whole run."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import TINY_MODEL

STEPS = 100
KILLS = 5
OPTIONS = (
    *TINY_MODEL, "--steps", str(STEPS), "--batch-size", "8", "--eval-every", "40", "--eval-users", "20",
    "--checkpoint-every", "10", "--log-every", "10", "--json",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A dozen processes compile the same programs: let them share the first one's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        yield


def start(run: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "genret", "train", str(run), *OPTIONS]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def copy(trained: Path, to: Path) -> Path:
    for kind in ("catalog", "vectors", "codes"):
        shutil.copytree(trained / kind, to / kind)
    return to


@pytest.mark.slow
def test_five_random_kills(trained_once: Path, tmp_path: Path) -> None:
    whole = copy(trained_once, tmp_path / "whole")
    assert start(whole).wait() == 0
    assert not (whole / "checkpoints").exists()
    run = copy(trained_once, tmp_path / "killed")
    rng, steps = np.random.default_rng(), [0]
    while len(steps) <= KILLS:
        process = start(run)
        while process.poll() is None and last_checkpoint(run) == steps[-1]:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))  # in the middle of whatever follows a checkpoint
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"ended before it was killed, after {steps}"
        steps.append(last_checkpoint(run))
    assert steps == sorted(set(steps)), "every start must get further"
    assert start(run).wait() == 0
    for name in ("model.safetensors", "metrics.jsonl", "manifest.json"):
        same = (run / "model" / name).read_bytes() == (whole / "model" / name).read_bytes()
        assert same, f"{name} differs, killed after steps {steps}"
    assert not list(run.rglob("*.partial")), "a half-written folder was left"


def last_checkpoint(run: Path) -> int:
    return max((int(f.name[5:]) for f in (run / "checkpoints").glob("step-*")), default=0)
