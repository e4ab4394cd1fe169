"""docs/batch_scoring.md: its blocks of Python run."""

from pathlib import Path

import pytest

from tests import pages


@pytest.mark.slow
def test_the_page_runs(
    run: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("runs/shop").symlink_to(run, target_is_directory=True)
    Path("days").symlink_to(shards, target_is_directory=True)
    names = pages.run("batch_scoring.md")
    assert names["result"].manifest["summary"]["users"] == 98
