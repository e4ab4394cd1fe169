"""What the environment tells JAX: absent devices, noise, values nobody knows, and watches."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from genret.cli.jax_environment import prepare_jax
from tests.cli.conftest import Command
from tests.cli.test_terminal import environment


def test_noise_of_libraries_is_kept_away_and_what_python_says_is_not(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search for devices that is loud, as libtpu's is where it is installed without a TPU."""

    def search() -> None:
        os.write(2, b"WARNING: Logging before InitGoogle() is written to STDERR\n")
        print("no TPU here", file=sys.stderr)

    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "libtpu")
    monkeypatch.setattr("jax.devices", search)
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    prepare_jax(quiet=True)
    os.write(2, b"heard again\n")
    assert capfd.readouterr().err == "no TPU here\nheard again\n"
    prepare_jax(quiet=False)
    assert "InitGoogle" in capfd.readouterr().err
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # nobody looks for a TPU
    prepare_jax(quiet=False)
    assert capfd.readouterr().err == ""


def test_an_absent_device_is_one_line(trained: Path) -> None:
    command = [sys.executable, "-m", "genret", "tokenize", str(trained), "--levels", "2"]
    done = subprocess.run(command, capture_output=True, env=environment(JAX_PLATFORMS="cuda"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(b"genret: error: JAX_PLATFORMS: found 'cuda'")


def test_a_value_that_jax_does_not_know_is_one_line(trained: Path) -> None:
    command = [sys.executable, "-m", "genret", "tokenize", str(trained), "--levels", "2"]
    done = subprocess.run(command, capture_output=True, env=environment(JAX_ENABLE_X64="maybe"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(b"genret: error: environment: invalid truth value 'maybe'")


@pytest.fixture
def watches() -> Iterator[dict[str, object]]:
    values = {
        "jax_debug_infs": True,
        "jax_check_tracer_leaks": True,
        "jax_transfer_guard": "disallow",
    }
    before = {name: jax.config.values[name] for name in values}
    for name, value in values.items():
        jax.config.update(name, value)
    yield values
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.filterwarnings("default")
def test_watches_that_would_end_every_search_are_not_followed_and_named(
    trained_once: Path, genret: Command, watches: dict[str, object]
) -> None:
    done = genret("recommend", trained_once, "--k", 2, "--beams", 4)
    assert done.status == 0
    for name in watches:
        assert f"{name}" in done.err
