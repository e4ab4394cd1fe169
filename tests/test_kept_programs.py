"""Programs that the command line keeps: where, for how long, and never half of one."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from genret.kept_programs import keep_programs, programs_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of programs, of a home of its own; JAX's settings are put back."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: jax.config.values[name] for name in names}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("atexit.register", lambda *_, **__: None)
    jax.config.update("jax_compilation_cache_dir", None)
    yield programs_folder()
    for name, value in before.items():
        jax.config.update(name, value)


def entry(folder: Path, name: str, age: float) -> Path:
    file = folder / f"{name}-cache"
    file.write_bytes(b"program")
    os.utime(file, (time.time() - age,) * 2)
    return file


def test_programs_are_kept_in_a_private_folder(folder: Path) -> None:
    keep_programs()
    assert jax.config.values["jax_compilation_cache_dir"] == str(folder)
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / f"{os.getpid()}.running").is_file()


def test_what_a_killed_process_wrote_is_deleted(folder: Path) -> None:
    keep_programs()
    (folder / f"{os.getpid()}.running").unlink()
    killed = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                            capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    whole, half = entry(folder, "whole", age=60), entry(folder, "half", age=10)
    old = entry(folder, "old", age=31 * 86_400)
    mark = folder / f"{killed}.running"
    mark.touch()
    os.utime(mark, (time.time() - 30,) * 2)
    jax.config.update("jax_compilation_cache_dir", None)
    keep_programs()
    assert whole.exists()
    assert not half.exists()
    assert not old.exists()
    assert not mark.exists()


def test_a_living_process_keeps_its_programs(folder: Path) -> None:
    keep_programs()
    own = entry(folder, "own", age=-5)
    jax.config.update("jax_compilation_cache_dir", None)
    keep_programs()
    assert own.exists()


def test_a_folder_that_others_may_write_into_is_not_used(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    keep_programs()
    assert jax.config.values["jax_compilation_cache_dir"] is None


def test_a_folder_that_jax_was_told_of_stays(folder: Path, tmp_path: Path) -> None:
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "told"))
    keep_programs()
    assert jax.config.values["jax_compilation_cache_dir"] == str(tmp_path / "told")
    assert not folder.exists()
