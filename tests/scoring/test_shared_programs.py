"""Programs that scorers of a node share: compiled once, and never read half-written."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

pytest.importorskip("filelock", reason="filelock is not installed: it comes with genret[ray]")

from genret.scoring._shared_programs import SharedPrograms, shared_programs

WAIT = 30.0


@pytest.fixture(autouse=True)
def no_cache_of_jax(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def entry(folder: Path, name: str, age: float) -> Path:
    file = folder / f"{name}-cache"
    file.write_bytes(b"program")
    os.utime(file, (time.time() - age,) * 2)
    return file


def test_one_waits_while_another_compiles_the_same_and_not_for_others(tmp_path: Path) -> None:
    first, second = SharedPrograms(tmp_path), SharedPrograms(tmp_path)
    order = []

    def same() -> None:
        with second.compiling((4, 64)):
            order.append("second")

    waiting = threading.Thread(target=same)
    with first.compiling((4, 64)):
        waiting.start()
        with second.compiling((6, 64)):
            order.append("other")
        waiting.join(0.3)
        order.append("first")
    waiting.join(WAIT)
    assert order == ["other", "first", "second"]
    assert not list(tmp_path.glob("*.busy"))


def test_what_a_killed_one_wrote_is_deleted(tmp_path: Path) -> None:
    whole = entry(tmp_path, "whole", age=60)
    killed = f"""
        import os, pathlib
        from genret.scoring._shared_programs import SharedPrograms
        folder = pathlib.Path({str(tmp_path)!r})
        with SharedPrograms(folder).compiling((4, 64)):
            (folder / "half-cache").write_bytes(b"pro")
            os._exit(9)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(killed)], check=False)
    assert done.returncode == 9
    with SharedPrograms(tmp_path).compiling((4, 64)):
        assert [file.name for file in tmp_path.glob("*-cache")] == [whole.name]


def test_an_error_while_compiling_frees_the_program(tmp_path: Path) -> None:
    programs = SharedPrograms(tmp_path)
    with pytest.raises(RuntimeError, match="memory"), programs.compiling((4, 64)):
        raise RuntimeError("out of memory")
    with SharedPrograms(tmp_path).compiling((4, 64)):
        pass


def test_without_the_folder_each_compiles_its_own(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    with (
        pytest.warns(UserWarning, match="are not kept there"),
        SharedPrograms(place).compiling((4, 64)),
    ):
        pass


def test_programs_of_long_ago_are_deleted(tmp_path: Path) -> None:
    entry(tmp_path, "old", age=31 * 86_400)
    new = entry(tmp_path, "new", age=29 * 86_400)
    SharedPrograms(tmp_path).delete_old()
    assert list(tmp_path.iterdir()) == [new]


def test_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert shared_programs() is not None
    (folder,) = (tmp_path / "genret" / "programs").iterdir()
    assert jax.config.jax_compilation_cache_dir == str(folder)
    assert folder.stat().st_mode & 0o022 == 0
    told = tmp_path / "told"
    jax.config.update("jax_compilation_cache_dir", str(told))
    assert shared_programs() is not None
    assert jax.config.jax_compilation_cache_dir == str(told)
    jax.config.update("jax_compilation_cache_dir", "gs://bucket/programs")
    assert shared_programs() is None


def test_a_folder_that_became_unsafe_is_not_used_any_more(tmp_path: Path) -> None:
    """Each compilation looks anew: what others may write is not executed."""
    told = tmp_path / "told"
    jax.config.update("jax_compilation_cache_dir", str(told))
    programs = shared_programs()
    assert programs is not None
    with programs.compiling((4, 64)):
        assert jax.config.jax_compilation_cache_dir == str(told)
    told.chmod(0o777)
    with (
        pytest.warns(UserWarning, match=r"told is writable by others \(mode 777\)"),
        programs.compiling((4, 64)),
    ):
        assert jax.config.jax_compilation_cache_dir is None
    jax.config.update("jax_compilation_cache_dir", str(told))
    with pytest.warns(UserWarning, match="are not kept there"):
        assert shared_programs() is None
    assert jax.config.jax_compilation_cache_dir is None


def test_a_user_without_a_home_shares_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert shared_programs() is None
    assert jax.config.jax_compilation_cache_dir is None


@pytest.mark.slow
def test_a_program_that_was_kept_answers_the_same_bits(run: Path, tmp_path: Path) -> None:
    script = f"""
        import jax, numpy as np
        from genret.config import EngineConfig, ScoreConfig
        from genret.histories import Histories
        from genret.scoring import Scorer
        from genret.scoring._shared_programs import shared_programs
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        hits = []
        jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
        scorer = Scorer.load({str(run)!r}, ScoreConfig(k=4, beams=6, decode_batch=8),
            EngineConfig(all_devices=False), shared_programs().compiling)
        hits.clear()
        answers = scorer.score(Histories.from_lists([[1, 2], [3, 4, 5]]))
        np.savez({str(tmp_path)!r} + "/" + ("first" if not hits.count(
            "/jax/compilation_cache/cache_hits") else "second"), *answers)
    """
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            check=True,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        )
    with np.load(tmp_path / "first.npz") as first, np.load(tmp_path / "second.npz") as second:
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])
