"""``genret train`` killed again and again, at any moment, ends with the parameters of a whole run."""

import contextlib
import secrets
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
KILLS_OF_A_LIFE = [
    pytest.param(5, marks=pytest.mark.slow),
    pytest.param(20, marks=pytest.mark.exhaustive),
]
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
def test_five_kills_of_one_run(trained_once: Path, whole: Path, tmp_path: Path) -> None:
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
    is_as(run, whole)


def is_as(run: Path, whole: Path) -> None:
    """Compare a run that was killed with one that was not."""
    for name in ("model.safetensors", "metrics.jsonl", "manifest.json"):
        assert (run / "model" / name).read_bytes() == (whole / "model" / name).read_bytes(), name
    assert not list(run.rglob("*.partial")), "a half-written folder was left"
    assert not list(run.rglob("*.old")), "a folder that had stepped aside was left"


@pytest.fixture(scope="module")
def whole(trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody killed."""
    run = copy(trained_once, tmp_path_factory.mktemp("whole"))
    assert start(run).wait() == 0
    return run


@pytest.mark.parametrize("most", KILLS_OF_A_LIFE)
def test_kills_over_the_whole_life(
    trained_once: Path, whole: Path, tmp_path: Path, most: int
) -> None:
    """Kills at random moments, from the first import to the last rename."""
    begun = time.monotonic()
    assert start(copy(trained_once, tmp_path / "timed")).wait() == 0
    duration = time.monotonic() - begun
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    kills = number = 0
    while kills < most:
        run = copy(trained_once, tmp_path / f"killed-{number}")
        number += 1
        while True:
            process = start(run)
            with contextlib.suppress(subprocess.TimeoutExpired):
                assert process.wait(rng.uniform(0, duration)) == 0
                break
            process.kill()
            process.wait()
            kills += 1
            if kills >= most:
                assert start(run).wait() == 0
                break
        is_as(run, whole)
        shutil.rmtree(run)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before the first checkpoint", "while the model is written"])
def test_kills_at_the_moments_that_chance_rarely_meets(
    trained_once: Path, whole: Path, tmp_path: Path, moment: str
) -> None:
    run = copy(trained_once, tmp_path / "killed")
    rng = np.random.default_rng()
    for _ in range(3):
        process = start(run)
        if moment == "before the first checkpoint":
            while not (run / ".lock").exists():
                assert process.poll() is None
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.5))
        else:
            while not list(run.glob(".model.*.partial")):
                assert process.poll() is None, "the model was written before it was noticed"
                time.sleep(0.0005)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not (run / "model").exists()
        if moment == "before the first checkpoint":
            assert last_checkpoint(run) == 0
    assert start(run).wait() == 0
    is_as(run, whole)


@pytest.mark.slow
def test_the_second_of_two_trainings_is_refused(
    trained_once: Path, whole: Path, tmp_path: Path
) -> None:
    run = copy(trained_once, tmp_path / "two")
    first = start(run)
    while not (run / ".lock").exists():
        assert first.poll() is None
        time.sleep(0.01)
    command = [sys.executable, "-m", "genret", "train", str(run), *OPTIONS]
    second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 2
    assert second.stderr.startswith(f"genret: error: {run}: another genret writes into this run")
    assert f"process {first.pid} on " in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert first.wait() == 0
    is_as(run, whole)


def last_checkpoint(run: Path) -> int:
    return max((int(f.name[5:]) for f in (run / "checkpoints").glob("step-*")), default=0)
