"""What a nightly job costs: the program runs, and its figures are those of real jobs."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scoring
from benchmarks.hf_scoring import compare
from genret.recommend import Answers


@pytest.mark.slow
@pytest.mark.parametrize("part", ["job", "ray"])
def test_the_program(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scoring.MODELS, "0.9M", scoring.MODELS["small"])  # compiles sooner
    if part == "ray":
        pytest.importorskip("ray", reason="ray is not installed: pip install genret[ray]")
    out = tmp_path / "scoring.json"
    scoring.main(scoring.Options(parts=(part,), users=60, ray_users=60, beams=(10,), out=out))
    found = json.loads(out.read_text())[part]
    assert found["users"] == 60
    if part == "job":
        assert found["users_per_second"] > 0
        assert 0 <= found["padding_waste"] < 1
        assert found["bars"]["memory, GiB"]["met"]
        assert 1 <= len(found["programs"]) <= 8
    else:
        assert found["bar"]["value"] == found["seconds"]["ray"] / found["seconds"]["local"]


def test_answers_are_compared_rank_by_rank() -> None:
    codes = np.array([[1, 2], [1, 2], [3, 4]])  # items 0 and 1 share a semantic ID
    ours = Answers(np.array([[0, 1, 2, -1]]), np.array([[-1.0, -1.0, -2.0, -np.inf]]))
    theirs = [[((1, 2), -1.0), ((3, 4), -2.5)]]
    assert compare(codes, theirs, ours) == {
        "ranks": 2, "equal_ranks": 1.0, "largest_difference": 0.5,
    }  # fmt: skip
    other = [[((3, 4), -1.0), ((1, 2), -2.0)]]
    assert compare(codes, other, ours)["equal_ranks"] == 0.0
