"""The protocol: what is counted as a hit, who is evaluated, and what the result says."""

import json

import numpy as np
import pytest

from genret.config import EvaluateConfig
from genret.data import HeldOut
from genret.errors import GenretError
from genret.evaluation import evaluate_model, evaluate_popularity
from genret.evaluation._evaluate import measure
from genret.histories import Histories, offsets_of
from genret.index import TrieIndex
from genret.recommend import Recommender
from genret.testing import TableModel, random_codes

SIZES = (6, 5)
CODES = random_codes(30, SIZES, seed=1)
INDEX = TrieIndex.from_codes(CODES, codes_per_level=SIZES)
MODEL = TableModel.random(SIZES, seed=2)
CONFIG = EvaluateConfig(k=(2, 5), beams=8, batch_size=16, bootstrap=50)


def held_out(users: int = 40) -> HeldOut:
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 6, users)
    offsets = offsets_of(lengths)
    return HeldOut(
        Histories(offsets=offsets, items=rng.integers(0, 30, offsets[-1])),
        rng.integers(0, 30, users).astype(np.int32),
    )


def evaluate(config: EvaluateConfig = CONFIG, seed: int = 0, **options) -> dict:
    return evaluate_model(
        MODEL, CODES, INDEX, held_out(), config, max_items=4, seed=seed, **options
    )


def test_figures_follow_from_the_lists() -> None:
    questions = held_out()
    shop = Recommender(MODEL, INDEX, max_items=4)
    found = shop.recommend_many(questions.histories, k=5, beams=8)
    result = evaluate(train_counts=np.arange(30), seen_share=np.arange(30) / 30)
    hits = [t in row for t, row in zip(questions.targets, found.items.tolist(), strict=True)]
    assert result["recall@5"] == np.mean(hits) > 0
    assert result["coverage@5"] == len(np.unique(found.items[found.items >= 0])) / 30
    assert result["popularity@5"] == pytest.approx(found.items.mean())
    assert result["epc@5"] == pytest.approx(1 - found.items.mean() / 30)
    assert 0 < result["gini@5"] < 1
    assert result["r_precision"] == np.mean(found.items[:, 0] == questions.targets)
    assert result["valid"] == 1.0
    assert result["duplicates"] == 0.0
    assert result["users"] == 40
    means = ("ndcg", "recall", "mrr", "clicks", "popularity", "epc")
    assert set(result["intervals"]) == {f"{m}@{k}" for m in means for k in (2, 5)} | {"r_precision"}
    for name, (low, high) in result["intervals"].items():
        assert low <= result[name] <= high


def test_is_json_and_equal_for_equal_seeds() -> None:
    first, again = (json.dumps(evaluate(), allow_nan=False) for _ in range(2))
    assert first == again
    assert json.loads(first)["intervals"] != evaluate(seed=1)["intervals"]


@pytest.mark.slow
def test_users_are_chosen_by_seed_and_alike_for_every_method() -> None:
    some = EvaluateConfig(k=(5,), beams=8, users=7, bootstrap=50)
    model = evaluate(some, seed=3)
    popularity = evaluate_popularity(np.arange(30), held_out(), some, seed=3)
    assert model["users"] == popularity["users"] == 7
    assert model["seen_targets"] == popularity["seen_targets"]
    many = {
        evaluate_popularity(np.arange(30), held_out(), some, seed=s)["ndcg@5"] for s in range(9)
    }
    assert len(many) > 1
    more_than_all = EvaluateConfig(k=(5,), beams=8, users=99, bootstrap=50)
    assert evaluate(more_than_all)["users"] == 40


def test_slices_are_parts_of_the_users() -> None:
    result = evaluate(train_counts=np.arange(30) // 4)
    questions = held_out()
    for name, values in (
        ("history", questions.histories.lengths),
        ("popularity", questions.targets // 4),
    ):
        parts = result["slices"][name]
        assert len(parts) > 1
        for part in parts:
            inside = (values >= part["from"]) & (values <= part["to"])
            assert part["users"] == inside.sum()
        assert sum(part["users"] for part in parts) == 40
        hits = sum(part["recall@5"] * part["users"] for part in parts)
        assert hits == pytest.approx(result["recall@5"] * 40)


def test_a_target_in_the_history_is_a_miss_where_seen_items_are_excluded() -> None:
    questions = HeldOut(Histories.from_lists([[7, 1], [3]]), np.array([7, 7], np.int32))
    counts = np.zeros(9, np.int64)
    counts[7] = 5
    excluded = evaluate_popularity(counts, questions, CONFIG)
    allowed = evaluate_popularity(
        counts, questions, EvaluateConfig(k=(2, 5), beams=8, exclude_seen=False, bootstrap=50)
    )
    assert (excluded["recall@2"], excluded["seen_targets"], excluded["valid"]) == (0.5, 1, 1.0)
    assert (allowed["recall@2"], allowed["seen_targets"], allowed["valid"]) == (1.0, 1, 1.0)


def test_lists_that_break_the_rules_show() -> None:
    asked = HeldOut(Histories.from_lists([[4]]), np.array([2], np.int32))
    lists = np.array([[4, 2, 2, -1, 0]], np.int32)
    result = measure(lists, asked, CONFIG, num_items=9)
    assert result["valid"] == 2 / 5
    assert result["duplicates"] == 1 / 4
    assert result["ndcg@2"] == pytest.approx(1 / np.log2(3))


def test_items_that_share_a_semantic_id_occupy_ranks_of_their_own() -> None:
    codes = np.array([[0, 0], [0, 0], [0, 0], [1, 1]], np.int32)
    index = TrieIndex.from_codes(codes)
    sure = TableModel.of([np.array([[9.0, 0.0]]), np.array([[9.0, 0.0]])])
    questions = HeldOut(Histories.from_lists([[], [], []]), np.array([0, 1, 2], np.int32))
    config = EvaluateConfig(k=(1, 3), beams=4, bootstrap=0)
    result = evaluate_model(sure, codes, index, questions, config, max_items=2)
    assert result["recall@1"] == pytest.approx(1 / 3)
    assert result["recall@3"] == 1.0
    assert result["intervals"] == {}


def test_a_split_without_users_is_refused() -> None:
    with pytest.raises(GenretError, match="split 'test': no user has a held-out item"):
        evaluate_popularity(np.arange(30), held_out(0), CONFIG)
