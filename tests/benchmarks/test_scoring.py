"""What a nightly job costs: the program runs, and its figures are those of real jobs."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import scoring


@pytest.mark.slow
@pytest.mark.parametrize("part", ["job", "ray"])
def test_the_program(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scoring.MODELS, "0.9M", scoring.MODELS["small"])  # compiles sooner
    if part == "ray":
        pytest.importorskip("ray", reason="ray is not installed: pip install genret[ray]")
    out = tmp_path / "scoring.json"
    options = scoring.Options(parts=(part,), users=60, ray_users=60, beams=10, out=out)
    options.main(Console(quiet=True))
    found = json.loads(out.read_text())[part]
    assert found["users"] == 60
    if part == "job":
        assert found["users_per_second"] > 0
        assert 0 <= found["padding_waste"] < 1
        assert found["bars"]["memory, GiB"]["met"]
        assert 1 <= len(found["programs"]) <= 8
    else:
        assert found["bar"]["value"] == found["seconds"]["ray"] / found["seconds"]["local"]
