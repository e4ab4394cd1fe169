"""``python -m benchmarks.tokenizers`` at smoke size, and the table of the page."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.tokenizers import Options, markdown
from genret.errors import GenretError


def test_unknown_methods_are_named() -> None:
    with pytest.raises(GenretError, match=r"methods: found \['rq'\]"):
        Options(methods=("rq",)).main(Console())


@pytest.mark.slow
@pytest.mark.optimized
def test_the_program(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "tokenizers.json"
    methods = ("rq_kmeans", "rq_vae, contrast 0.1", "opq")
    Options(data=shared_data, out=out, methods=methods, smoke=True).main(Console())
    document = json.loads(out.read_text())
    assert set(document["results"]) == {"office", "beauty"}
    for results in document["results"].values():
        assert set(results) == set(methods)
        for figures in results.values():
            assert figures["after_reassigning"]["items"] == 0
            assert 0 < figures["error"][-1] < 1
            assert len(figures["used_share"]) == len(figures["codes_per_level"]) == 4
    assert "office: rq_kmeans: colliding items" in document["verdicts"]
    assert "method" in capsys.readouterr().out
    assert "| opq |" in markdown(tmp_path)
    before = out.read_text()
    options = Options(data=shared_data, out=out, methods=methods, smoke=True, resume=True)
    options.main(Console())
    assert json.loads(out.read_text())["results"] == json.loads(before)["results"]
