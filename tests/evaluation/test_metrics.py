"""Metrics against slow twins in plain Python and values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    label_ranking_average_precision_score,
    ndcg_score,
    top_k_accuracy_score,
)

from genret.evaluation import mrr, ndcg, recall
from genret.evaluation.metrics import (
    average_popularity,
    coverage,
    duplicates_share,
    gini,
    playlist_clicks,
    popularity_complement,
    r_precision,
    seen_shares,
    target_ranks,
    valid_share,
)
from genret.histories import Histories

NUM_ITEMS = 7


@st.composite
def cases(draw):
    """Lists with padding and repetitions anywhere, targets, excluded items, a cut-off."""
    users, width = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    item = st.integers(0, NUM_ITEMS - 1)
    entry = st.one_of(st.just(-1), item)
    lists = draw(st.lists(st.lists(entry, min_size=width, max_size=width),
                          min_size=users, max_size=users))  # fmt: skip
    targets = draw(st.lists(item, min_size=users, max_size=users))
    excluded = draw(st.lists(st.lists(item, max_size=5), min_size=users, max_size=users))
    return lists, targets, excluded, draw(st.integers(1, width + 2))


def arrays(lists, targets, excluded):
    return np.array(lists, np.int32), np.array(targets, np.int32), Histories.from_lists(excluded)


@given(cases())
def test_metrics_of_rank_equal_their_slow_twins(case) -> None:
    lists, targets, excluded, k = case
    items, targets_array, _ = arrays(lists, targets, excluded)
    ranks = target_ranks(items, targets_array)
    for u, (row, target) in enumerate(zip(lists, targets, strict=True)):
        place = row.index(target) + 1 if target in row else None
        hit = place is not None and place <= k
        assert recall(ranks, k)[u] == (1 if hit else 0)
        assert ndcg(ranks, k)[u] == pytest.approx(1 / math.log2(place + 1) if hit else 0)
        assert mrr(ranks, k)[u] == pytest.approx(1 / place if hit else 0)
        assert r_precision(ranks)[u] == (1 if row[:1] == [target] else 0)
        pages = [row[first : min(first + 10, k)] for first in range(0, k, 10)]
        turned = next((n for n, page in enumerate(pages) if target in page), k // 10 + 1)
        assert playlist_clicks(ranks, k)[u] == turned


@given(cases())
def test_metrics_of_lists_equal_their_slow_twins(case) -> None:
    lists, targets, excluded, k = case
    items, _, forbidden = arrays(lists, targets, excluded)
    counts = np.arange(NUM_ITEMS) ** 2
    shown = [[i for i in row[:k] if i >= 0] for row in lists]
    assert coverage(items, k, NUM_ITEMS) == len({i for row in shown for i in row}) / NUM_ITEMS
    share = counts / 36
    popularity = average_popularity(items, k, counts)
    complement = popularity_complement(items, k, share)
    for u, row in enumerate(shown):
        if row:
            mean = sum(int(counts[i]) for i in row) / len(row)
            assert popularity[u] == pytest.approx(mean)
            assert complement[u] == pytest.approx(1 - mean / 36)
        else:
            assert np.isnan(popularity[u])
            assert np.isnan(complement[u])

    # The Gini coefficient as half of the relative mean absolute difference of all pairs.
    times = [sum(row.count(i) for row in shown) for i in range(NUM_ITEMS)]
    total = sum(times)
    differences = sum(abs(a - b) for a in times for b in times)
    expected = differences / (2 * NUM_ITEMS * total) if total else 0.0
    assert gini(items, k, NUM_ITEMS) == pytest.approx(expected)

    returned = [i for row in lists for i in row if i >= 0]
    extra = len(returned) - sum(len({i for i in row if i >= 0}) for row in lists)
    assert duplicates_share(items) == (extra / len(returned) if returned else 0)
    legal = attainable = 0
    for row, own in zip(lists, excluded, strict=True):
        legal += len({i for i in row if i >= 0} - set(own))
        attainable += min(len(row), NUM_ITEMS - len(set(own)))
    assert valid_share(items, NUM_ITEMS, forbidden) == (legal / attainable if attainable else 1)


@given(cases())
def test_shares_of_users_equal_their_slow_twin(case) -> None:
    _, _, histories, _ = case
    active = [set(own) for own in histories if own]
    expected = [sum(i in own for own in active) / max(1, len(active)) for i in range(NUM_ITEMS)]
    np.testing.assert_allclose(seen_shares(Histories.from_lists(histories), NUM_ITEMS), expected)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_agrees_with_scikit_learn(k: int) -> None:
    """A program that others wrote, which ranks by scores and knows several relevant items."""
    rng = np.random.default_rng(k)
    scores = rng.permuted(np.tile(np.arange(30.0), (200, 1)), axis=1)
    targets = rng.integers(0, 30, 200)
    relevant = np.eye(30)[targets]
    ranks = target_ranks(np.argsort(-scores, axis=1), targets)
    assert ndcg(ranks, k).mean() == pytest.approx(ndcg_score(relevant, scores, k=k))
    accuracy = top_k_accuracy_score(targets, scores, k=k, labels=np.arange(30))
    assert recall(ranks, k).mean() == pytest.approx(accuracy)
    precision = label_ranking_average_precision_score(relevant, scores)
    assert mrr(ranks, 30).mean() == pytest.approx(precision)


def test_by_hand() -> None:
    items = np.array([[4, 2, 9], [4, 2, -1], [1, 2, 3]])
    ranks = target_ranks(items, np.array([9, 7, 1]))
    assert ranks.tolist() == [3, 0, 1]
    assert ndcg(ranks, 3).mean() == pytest.approx((0.5 + 0 + 1) / 3)
    assert ndcg(ranks, 2).mean() == pytest.approx(1 / 3)
    assert mrr(ranks, 3).mean() == pytest.approx((1 / 3 + 0 + 1) / 3)
    assert recall(ranks, 3).mean() == pytest.approx(2 / 3)


def test_padding_is_never_a_hit() -> None:
    assert target_ranks(np.array([[-1, -1]]), np.array([-1])).tolist() == [0]
    assert target_ranks(np.zeros((2, 0), np.int32), np.array([0, 1])).tolist() == [0, 0]


def test_items_outside_the_catalog_are_not_valid() -> None:
    nothing = Histories.from_lists([[]])
    assert valid_share(np.array([[0, 5]]), 5, nothing) == 0.5
    assert valid_share(np.array([[0, 4]]), 5, nothing) == 1.0


def test_a_short_list_is_valid_only_where_no_more_items_are_allowed() -> None:
    lists = np.array([[2, -1, -1]])
    excluded = Histories.from_lists([[0, 1]])
    assert valid_share(lists, 3, excluded) == 1.0
    assert valid_share(lists, 4, excluded) == 0.5
