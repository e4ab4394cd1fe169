"""``python -m benchmarks.tokenizers`` at smoke size, and the table of the page."""

import json
from pathlib import Path

import pytest

from benchmarks import tokenizers


def test_unknown_methods_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert tokenizers.main(["--only", "rq_qmeans"]) == 2
    assert "only: found 'rq_qmeans', which no point has" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.optimized
def test_the_program(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "tokenizers.json"
    some = ["--only", "beauty: rq_kmeans, local", "rq_vae, contrast 0.1", "office: opq"]
    arguments = ["--data", str(shared_data), "--json", str(out), "--smoke", *some]
    assert tokenizers.main(arguments) == 0
    points = json.loads(out.read_text())["points"]
    assert len(points) == 4
    for figures in points.values():
        assert figures["after_reassigning"]["items"] == 0
        assert 0 < figures["unexplained"][-1] < 1
        assert len(figures["used_share"]) == len(figures["codes_per_level"]) == 4
    bars = json.loads(out.read_text())["bars"]
    assert "beauty: rq_kmeans, local last level: colliding items" in bars
    assert "method" in capsys.readouterr().out
    assert "| opq |" in tokenizers.markdown(tmp_path)
    assert tokenizers.main([*arguments, "--resume"]) == 0
    assert json.loads(out.read_text())["points"] == points
