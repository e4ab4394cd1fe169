"""``python -m benchmarks.ingest`` at smoke size, and its check of the counts."""

import json
from pathlib import Path

import pytest

from benchmarks import ingest
from genret.errors import GenretError


def test_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ingest.json"
    assert ingest.main(["--smoke", "--out", str(out)]) == 0
    document = json.loads(out.read_text())
    assert set(document["formats"]) == {"parquet", "csv"}
    for figures in document["formats"].values():
        assert figures["counts"]["events"] == 20_000
        assert figures["peak_gib"] >= figures["imports_gib"] > 0
    assert "csv" in capsys.readouterr().out


def test_lost_events_are_refused() -> None:
    with pytest.raises(GenretError, match="csv: found"):
        ingest.check("csv", {"events": 9}, {"events": 10})
