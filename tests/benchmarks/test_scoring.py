"""What a nightly job costs: the program runs, and its figures are those of real jobs."""

import json
from pathlib import Path

import pytest

from benchmarks import scoring


@pytest.mark.slow
@pytest.mark.parametrize("part", ["job", "ray"])
def test_the_program(part: str, tmp_path: Path) -> None:
    if part == "ray":
        pytest.importorskip("ray", reason="ray is not installed: pip install genret[ray]")
    out = tmp_path / "scoring.json"
    assert scoring.main(["--smoke", "--only", part, "--json", str(out)]) == 0
    document = json.loads(out.read_text())
    (found,) = document["points"].values()
    assert found["users"] == 60
    if part == "job":
        assert found["users_per_second"] > 0
        assert 0 <= found["padding_waste"] < 1
        assert document["verdicts"]["memory, GiB"]["met"]
        assert 1 <= found["num_programs"] <= 8
    else:
        assert found["over_local"] == found["seconds"]["ray"] / found["seconds"]["local"]
