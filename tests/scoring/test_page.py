"""docs/batch_scoring.md: its blocks of Python run."""

from pathlib import Path

import numpy as np
import pytest

from genret.scoring import export_decode
from tests import pages

pytest.importorskip(
    "flatbuffers", reason="flatbuffers is not installed: pip install genret[export]"
)


@pytest.mark.slow
def test_the_page_runs(
    run: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("runs/shop").symlink_to(run, target_is_directory=True)
    Path("days").symlink_to(shards, target_is_directory=True)
    shape = export_decode(run, "decode", k=4, beams=6, batch=8).inputs
    given = {"histories": np.zeros(shape["items"], np.int32), "lengths": np.zeros(8, np.int32)}
    names = pages.run("batch_scoring.md", **given)
    assert names["result"].manifest["summary"]["users"] == 98
    assert names["items"].shape == (8, 4)
