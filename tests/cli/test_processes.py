"""``genret train`` in two processes: one is killed, and what was started again ends as if none had been."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.cli.conftest import TINY_MODEL
from tests.cli.test_kill import copy, is_as
from tests.training.test_rendezvous import free_port

OPTIONS = (
    *TINY_MODEL, "--steps", "24", "--batch-size", "8", "--eval-every", "24", "--eval-users", "20",
    "--checkpoint-every", "8", "--log-every", "8", "--mesh", "data=2", "--json",
)  # fmt: skip


def devices(count: int) -> str:
    """Return XLA's flags of this process, but with another number of devices."""
    return re.sub(r"(device_count)=\d+", rf"\1={count}", os.environ["XLA_FLAGS"])


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment of one device a process, whose programs are compiled once."""
    return os.environ | {
        "XLA_FLAGS": devices(1),
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def start(run: Path, environment: dict[str, str], *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "genret", "train", str(run), *OPTIONS, *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def start_two(
    run: Path, environment: dict[str, str], *of_second: str
) -> list[subprocess.Popen[str]]:
    where = ("--coordinator", f"localhost:{free_port()}", "--num-processes", "2")
    return [
        start(run, environment, *where, "--process-id", "0"),
        start(run, environment, *where, "--process-id", "1", *of_second),
    ]


def finished(processes: list[subprocess.Popen[str]]) -> list[dict[str, object]]:
    """Wait for processes that are to end well; return their results."""
    results = []
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        results.append(json.loads(out))
    return results


@pytest.mark.slow
def test_a_killed_process(trained_once: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    whole, killed = (copy(trained_once, tmp_path / name) for name in ("whole", "killed"))
    first, second = finished(start_two(whole, environment))
    assert first["fingerprint"] == second["fingerprint"]

    survivor, victim = start_two(killed, environment)
    while not list(killed.glob("checkpoints/step-*")):
        assert survivor.poll() is None, survivor.communicate()
        time.sleep(0.002)
    victim.send_signal(signal.SIGKILL)
    _, err = survivor.communicate(timeout=120)
    assert survivor.returncode == 2, err
    assert "training: another process ended" in err
    victim.communicate()
    alone = tmp_path / "alone"
    shutil.copytree(killed, alone)

    finished(start_two(killed, environment))
    is_as(killed, whole)
    two_devices = environment | {"XLA_FLAGS": devices(2)}
    finished([start(alone, two_devices)])
    expected, found = (load_file(run / "model" / "model.safetensors") for run in (whole, alone))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_processes_that_were_not_started_alike(
    trained_once: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    run = copy(trained_once, tmp_path / "run")
    for process in start_two(run, environment, "--learning-rate", "0.5"):
        _, err = process.communicate(timeout=120)
        assert process.returncode == 2, err
        assert "process 1: found learning_rate = 0.5, expected 0.003 as process 0 has" in err
    assert not (run / "model").exists()
