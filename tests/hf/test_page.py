"""docs/hugging_face.md: its blocks run as printed, in its order."""

import shutil
import warnings

import numpy as np
import pytest

from tests import pages
from tests.hf.conftest import write, write_tokenizer


def run(folder, kinds, monkeypatch):
    write(folder / "checkpoint", "qwen3")
    write_tokenizer(folder / "checkpoint")
    monkeypatch.chdir(folder)
    return pages.run("hugging_face.md", kinds)


@pytest.mark.slow
def test_the_page_runs(tmp_path, monkeypatch) -> None:
    names = run(tmp_path, ("",), monkeypatch)
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
    names = run(tmp_path, ("", "torch"), monkeypatch)
    length = names["inputs"].input_ids.shape[1]
    assert length == 6  # each code is one token
    first = np.array([int(own[0]) for own in names["tokens"].tokens])
    held = {tuple(row) for row in names["codes"].tolist()}
    found = names["found"][:, length:].numpy() - first
    assert {tuple(row) for row in found.tolist()} <= held
