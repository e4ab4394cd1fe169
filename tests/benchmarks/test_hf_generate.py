"""``python -m benchmarks.hf_generate``: at smoke size where transformers is, and its check of answers."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from benchmarks import hf_generate
from genret.errors import GenretError


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("transformers")
    out, plot = tmp_path / "hf.json", tmp_path / "hf.png"
    assert hf_generate.main(["--smoke", "--json", str(out), "--plot", str(plot)]) == 0
    points = json.loads(out.read_text())["points"].values()
    assert [point["prompts"] for point in points] == [1, 2]
    for point in points:
        assert set(hf_generate.WAYS) <= set(point)
        assert point["scores_apart"] < 1e-3
        low, high = point["ratio_range"]
        assert 0 < low <= high
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "generate + trie" in capsys.readouterr().out


def test_other_answers_are_refused() -> None:
    codes = np.array([[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], [0, 1]]])  # of two prompts
    scores = np.array([[-1.0, -2.0, -2.00001], [-1.0, -2.0, -3.0]])
    answers = dict.fromkeys(hf_generate.WAYS, lambda: (codes, scores))
    assert hf_generate.check(answers) == 0
    tied = codes.copy()
    tied[0] = codes[0, [0, 2, 1]]
    assert hf_generate.check(answers | {"genret": lambda: (tied, scores)}) < 1e-4  # no order
    better = lambda: (codes + 1, scores + 0.5)  # noqa: E731
    assert hf_generate.check(answers | {"genret, tail": better}) == 0
    with pytest.raises(GenretError, match="tail: answers have lower scores"):
        hf_generate.check(answers | {"genret, tail": lambda: (codes, scores - 0.5)})
    for codes_of, scores_of in (
        (codes[:, [1, 0, 2]], scores),
        (codes[::-1], scores),
        (codes + 1, scores),
        (codes, scores - 1),
    ):
        wrong = lambda c=codes_of, s=scores_of: (c, s)  # noqa: E731
        with pytest.raises(GenretError, match="genret: answers differ"):
            hf_generate.check(answers | {"genret": wrong})


def test_the_points() -> None:
    points = hf_generate.HfGenerate().points()
    assert len(points) == 3 * 6 + 3 + 6
    assert [key.split(",")[0] for key in points] == 15 * ["1M"] + 6 * ["6M"] + 6 * ["30M"]
    assert list(hf_generate.HfGenerate(smoke=True).points()) == [
        "1M, 1,000 items, 5 beams, 1 prompts",
        "1M, 1,000 items, 5 beams, 2 prompts",
    ]
