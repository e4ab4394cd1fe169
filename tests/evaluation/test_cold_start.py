"""Cold start: the filter asks for new items only, chance is exact, and figures are those of lists."""

import numpy as np
import pytest

from genret.config import EvaluateConfig
from genret.data import HeldOut
from genret.evaluation import evaluate_cold_start
from genret.histories import Histories
from genret.index import ItemFilter, TrieIndex
from genret.recommend import Recommender
from genret.testing import TableModel, random_codes

SIZES = (6, 5)
CODES = random_codes(30, SIZES, seed=1)
INDEX = TrieIndex.from_codes(CODES, codes_per_level=SIZES)
MODEL = TableModel.random(SIZES, seed=2)
COLD = np.array([3, 8, 11, 20], np.int32)


def test_figures_follow_from_the_lists() -> None:
    rng = np.random.default_rng(0)
    users = 40
    questions = HeldOut(
        Histories(offsets=np.arange(users + 1), items=rng.integers(0, 3, users)),
        rng.choice(COLD, users).astype(np.int32),
    )  # fmt: skip
    config = EvaluateConfig(k=(1, 3, 5), beams=8, batch_size=16, bootstrap=50)
    found = evaluate_cold_start(MODEL, CODES, INDEX, questions, COLD, config, max_items=4)
    assert (found["items"], found["users"]) == (4, 40)
    only = ItemFilter.from_items(INDEX, COLD)
    for name, filters in (("unconstrained", None), ("constrained", [only])):
        lists = (
            Recommender(MODEL, INDEX, max_items=4)
            .recommend_many(questions.histories, k=5, beams=8, where=filters)
            .items
        )
        for k in (1, 3, 5):
            hit = (lists[:, :k] == questions.targets[:, None]).any(axis=1)
            value = found[name][f"recall@{k}"]
            assert value["mean"] == hit.mean()
            assert value["low"] <= value["mean"] <= value["high"]
    assert [found["random"][f"recall@{k}"]["mean"] for k in (1, 3, 5)] == [0.25, 0.75, 1.0]
    assert found["constrained"]["recall@5"]["mean"] == 1.0
    ratio = found["ratio"]["recall@1"]["mean"]
    assert ratio == pytest.approx(4 * found["constrained"]["recall@1"]["mean"])
