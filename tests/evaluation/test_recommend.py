"""recommend(): batches, padding, exclusions, and the order of a brute-force ranking."""

import numpy as np
import pytest

from genret.config import ModelConfig
from genret.errors import GenretError
from genret.evaluation import recommend
from genret.histories import Histories
from genret.index import TrieIndex
from genret.models import History, build_model
from genret.testing import TableModel, protocol_logits, random_codes, rank_all_items

SIZES = (5, 4, 3)
CODES = random_codes(40, SIZES, "duplicates", seed=1)
INDEX = TrieIndex.from_codes(CODES, codes_per_level=SIZES)
MODEL = TableModel.random(SIZES, seed=2)
LENGTHS = [3, 0, 25, 1, 40, 7, 2]


@pytest.fixture(scope="module")
def histories() -> Histories:
    rng = np.random.default_rng(3)
    own = [rng.permutation(40)[:n] for n in LENGTHS]
    own[5][1:] = own[5][0]  # one item, seven times
    return Histories.from_lists(own)


def run(histories, model=MODEL, **options):
    defaults = {"k": 6, "beams": 12, "max_items": 4, "exclude_seen": True, "batch_size": 3}
    return recommend(model, CODES, INDEX, histories, **defaults | options)


@pytest.mark.parametrize(
    ("exclude_seen", "options"),
    [(True, {"beams": 40}), (False, {"beams": 40}), (True, {"beams": 1, "exact": True})],
)
def test_equals_ranking_every_item_one_user_at_a_time(histories, exclude_seen, options) -> None:
    found = run(histories, k=40, exclude_seen=exclude_seen, **options)
    for u in range(len(LENGTHS)):
        own = histories[u]
        history = History.from_items(CODES, [own], 4)
        excluded = set(own.tolist()) if exclude_seen else set()
        allowed = [item for item in range(len(CODES)) if item not in excluded]
        expected = rank_all_items(protocol_logits(MODEL, history), CODES, allowed)
        got = found.items[u][found.items[u] >= 0]
        assert got.tolist() == [r.item for r in expected]
        np.testing.assert_allclose(
            found.scores[u][: len(got)], [r.score for r in expected], rtol=1e-5
        )
        assert np.isneginf(found.scores[u][len(got) :]).all()


@pytest.mark.parametrize("batch_size", [2, 100])
def test_batches_change_nothing(histories, batch_size) -> None:
    whole, parts = run(histories), run(histories, batch_size=batch_size)
    np.testing.assert_array_equal(parts.items, whole.items)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-6)


def test_exact_batches_fit_the_memory(histories, monkeypatch) -> None:
    whole = run(histories, exact=True)
    monkeypatch.setattr("genret.evaluation._recommend._EXACT_BYTES", 1)
    steps: list[int] = []
    single = run(histories, exact=True, progress=steps.append)
    assert steps == [1] * len(LENGTHS)
    np.testing.assert_array_equal(single.items, whole.items)


@pytest.mark.slow
def test_batches_change_nothing_with_a_trained_kind_of_model(histories) -> None:
    config = ModelConfig(codes_per_level=SIZES, width=16, heads=2, kv_heads=2, head_dim=8)
    model = build_model(config, seed=0)
    whole, single = run(histories, model), run(histories, model, batch_size=1)
    np.testing.assert_array_equal(single.items, whole.items)
    np.testing.assert_allclose(single.scores, whole.scores, rtol=1e-4)


def test_the_model_sees_the_newest_items_and_the_search_excludes_all(histories) -> None:
    found = run(histories, k=20, beams=40)
    for u in range(len(LENGTHS)):
        own = histories[u]
        assert not set(found.items[u].tolist()) & set(own.tolist())
    # User 2 has 25 items; with the newest 4 alone the scores are the same, the exclusions fewer.
    alone = run(histories.take([2]).last(4), k=40, beams=40, exclude_seen=False)
    scores = dict(zip(alone.items[0].tolist(), alone.scores[0].tolist(), strict=True))
    for item, score in zip(found.items[2].tolist(), found.scores[2].tolist(), strict=True):
        if item >= 0:
            assert score == pytest.approx(scores[item], rel=1e-5)


def test_somebody_who_has_seen_everything_gets_nothing(histories) -> None:
    assert run(histories).items[4].tolist() == [-1] * 6


def test_no_users_and_progress(histories) -> None:
    nobody = run(Histories.from_lists([]))
    assert nobody.items.shape == (0, 6)
    steps: list[int] = []
    run(histories, progress=steps.append)
    assert steps == [3, 3, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k: found 0"),
        ({"k": 13}, "beams: found 12, expected at least k, 13"),
        ({"max_items": 0}, "max_items: found 0"),
        ({"batch_size": 0}, "batch_size: found 0"),
    ],
)
def test_bad_numbers_are_refused(histories, options, message) -> None:
    with pytest.raises(GenretError, match=message):
        run(histories, **options)


def test_codes_of_another_catalog_are_refused(histories) -> None:
    with pytest.raises(GenretError, match="found 39 items, expected 40"):
        recommend(MODEL, CODES[:39], INDEX, histories, k=1, beams=1, max_items=1)
