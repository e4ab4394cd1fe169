"""``genret train`` killed with SIGKILL and started again ends with the parameters of a whole run."""

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

OPTIONS = (
    *TINY_MODEL, "--steps", "120", "--batch-size", "8", "--eval-every", "40", "--eval-users", "20",
    "--checkpoint-every", "10", "--log-every", "10", "--json",
)  # fmt: skip
KILLS = 5


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
    assert start(copy(trained_once, tmp_path / "compiles")).wait() == 0
    begun = time.monotonic()
    assert start(whole).wait() == 0
    duration = time.monotonic() - begun
    assert not (whole / "checkpoints").exists()
    resumed = 0
    for i, moment in enumerate(np.random.default_rng().uniform(0.4, 0.98, KILLS) * duration):
        run = copy(trained_once, tmp_path / f"killed-{i}")
        process = start(run)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        resumed += bool(list((run / "checkpoints").glob("step-*")))
        assert start(run).wait() == 0
        for name in ("model.safetensors", "metrics.jsonl", "manifest.json"):
            same = (run / "model" / name).read_bytes() == (whole / "model" / name).read_bytes()
            assert same, f"{name} differs after a kill at {moment:.2f} of {duration:.2f} s"
        assert not list(run.rglob("*.partial")), "a half-written folder was left"
    print(f"{resumed} of {KILLS} runs resumed from a checkpoint")


@pytest.mark.slow
def test_one_run_killed_again_and_again(trained_once: Path, tmp_path: Path) -> None:
    whole = copy(trained_once, tmp_path / "whole")
    assert start(whole).wait() == 0
    run = copy(trained_once, tmp_path / "killed")
    steps: list[int] = []
    for _ in range(2):
        process = start(run)
        before = steps[-1] if steps else 0
        while process.poll() is None:
            # Killed in the middle of whatever follows a checkpoint.
            found = [int(f.name[5:]) for f in (run / "checkpoints").glob("step-*")]
            if found and max(found) > before:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        steps.append(max(found, default=before))
    assert steps == sorted(set(steps)), "every start must get further"
    assert start(run).wait() == 0
    name = "model/model.safetensors"
    assert (run / name).read_bytes() == (whole / name).read_bytes()
