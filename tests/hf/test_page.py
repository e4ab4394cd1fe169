"""docs/hugging_face.md: its blocks run as printed, in its order."""

import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.hf.conftest import write, write_tokenizer

PAGE = Path(__file__).parents[2] / "docs" / "hugging_face.md"
BLOCKS = re.findall(
    r"^```python( torch)?\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S
)


def run(folder, with_torch, monkeypatch):
    write(folder / "checkpoint", "qwen3")
    write_tokenizer(folder / "checkpoint")
    monkeypatch.chdir(folder)
    names = {}
    for torch, block in BLOCKS:
        if with_torch or not torch:
            exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_the_page_runs(tmp_path, monkeypatch) -> None:
    assert len(BLOCKS) >= 6
    names = run(tmp_path, False, monkeypatch)
    assert np.asarray(names["result"].valid).all()
    assert names["tuned"].losses[-1] < names["tuned"].losses[0]
    a, b, c = (int(own[0]) for own in names["tokens"].tokens)
    drawn = np.asarray(names["generated"]) - np.array([a, b, c])
    held = {tuple(row) for row in names["codes"].tolist()}
    assert {tuple(row) for row in drawn.tolist()} <= held
    shutil.rmtree(tmp_path / "tuned")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_page_runs_with_torch(tmp_path, monkeypatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("transformers")
        pytest.importorskip("torch")
    names = run(tmp_path, True, monkeypatch)
    length = names["inputs"].input_ids.shape[1]
    assert length == 6  # each code is one token
    first = np.array([int(own[0]) for own in names["tokens"].tokens])
    held = {tuple(row) for row in names["codes"].tolist()}
    found = names["found"][:, length:].numpy() - first
    assert {tuple(row) for row in found.tolist()} <= held
