"""Pictures: whole PNGs that show what they are given and repeat bit by bit."""

import struct
from pathlib import Path

import numpy as np
import pytest

from genret.evaluation import plots
from genret.testing import random_codes

SIZES = (8, 8, 8, 8, 2)
CODES = random_codes(50, SIZES, "zipf")
TRAINING = [
    {"step": 50, "loss": 9.0},
    {"step": 100, "loss": 7.0},
    {"step": 100, "valid": {"ndcg@10": 0.04, "intervals": {}}},
]
RESULT = {
    **{f"{name}@10": 0.1 for name in ("ndcg", "recall", "mrr")},
    "intervals": {"ndcg@10": [0.05, 0.2], "recall@10": [0.11, 0.12]},
}
ZERO = {"ndcg@10": 0.0, "recall@10": 0.0, "mrr@10": 0.0, "intervals": {}}
PARTS = [
    {"from": 0, "to": 3, "users": 9, "recall@10": 0.1, "intervals": {"recall@10": [0.05, 0.2]}},
    {"from": 4, "to": 4, "users": 8, "recall@10": 0.3, "intervals": {}},
]
SLICES = {
    "model": {"popularity": PARTS, "history": PARTS},
    "another": {"popularity": PARTS, "history": PARTS[:1]},
}
SIX = dict.fromkeys(("model", "exact", "sasrec", "item_knn", "popularity", "random"), RESULT)
DRAW = {
    "training": lambda f: plots.plot_training(TRAINING, f, metric="ndcg@10"),
    "loss only": lambda f: plots.plot_training(TRAINING[:1], f, metric="ndcg@10"),
    "codes": lambda f: plots.plot_code_usage(CODES, SIZES, f),
    "metrics": lambda f: plots.plot_metrics({"model": RESULT, "random": ZERO}, f, k=10),
    "six methods": lambda f: plots.plot_metrics(SIX, f, k=10),
    "slices": lambda f: plots.plot_slices(SLICES, f, k=10),
    "all zero": lambda f: plots.plot_metrics({"random": ZERO}, f, k=10),
    "trie": lambda f: plots.plot_trie_width((1, 8, 30, 45), (8, 8, 8), f),
    "one item": lambda f: plots.plot_trie_width((1, 1), (1,), f),
}


@pytest.mark.parametrize("name", DRAW)
def test_draws_a_png_that_is_not_blank_and_repeats(name: str, tmp_path: Path) -> None:
    DRAW[name](tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert width >= 600
    assert height >= 300
    assert len(data) > 8000
    DRAW[name](tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes() == data


def test_other_figures_give_another_picture(tmp_path: Path) -> None:
    plots.plot_code_usage(CODES, SIZES, tmp_path / "a.png")
    plots.plot_code_usage(np.zeros_like(CODES), SIZES, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
