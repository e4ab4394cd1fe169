"""Tests of genret.training._checkpoint: a checkpoint is whole or absent."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genret.errors import GenretError
from genret.training import _checkpoint


def test_writers_that_outlive_a_failed_save_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orbax raises for the first writer that fails, while the others still write."""

    def write_late(folder: Path) -> None:
        time.sleep(0.3)
        threading.Thread(target=write_later, args=(folder,)).start()

    def write_later(folder: Path) -> None:
        time.sleep(0.3)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "_sharding").write_text("{}")

    def save(folder: Path, leaves: Any) -> None:
        threading.Thread(target=write_late, args=(folder,)).start()
        raise ValueError("RESOURCE_EXHAUSTED: No space left on device\nand much more")

    monkeypatch.setattr(_checkpoint.ocp, "save", save)
    with pytest.raises(GenretError, match=r"step-00000002: cannot be written: .*No space left"):
        _checkpoint.save_checkpoint(tmp_path, 2, {"a": np.zeros(3)}, {}, {})
    time.sleep(1)
    assert not list(tmp_path.iterdir())


def test_a_writer_that_has_not_begun_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread is listed as soon as it is asked for; until it runs it cannot be joined."""
    here, unborn = threading.enumerate(), threading.Thread()
    listed = [here, [*here, unborn], [*here, unborn], here]
    monkeypatch.setattr(threading, "enumerate", lambda: listed.pop(0))
    with pytest.raises(ValueError, match="of the block"), _checkpoint._until_threads_end():
        raise ValueError("of the block")
    assert not listed
