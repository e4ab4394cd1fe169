"""Recommender with counted transitions: the ranking of every item by both, whatever comes and goes."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.errors import GenretError
from genret.histories import Histories
from genret.index import ItemFilter, LiveIndex, TrieIndex
from genret.models import History, Transitions
from genret.recommend import Recommender
from genret.testing import TableModel, protocol_logits, random_codes, rank_all_items

SIZES, ITEMS, SHARE = (4, 3, 3), 12, 0.4
CODES = random_codes(ITEMS, SIZES, "duplicates", seed=1)
INDEX = TrieIndex.from_codes(CODES, codes_per_level=SIZES)
MODEL = TableModel.random(SIZES, seed=2)
EVENTS = st.lists(st.integers(0, ITEMS - 1), max_size=8)
ONE_SHAPE = 11
"""Neighbors of an item in all examples, so that one program serves them."""


def counted(training: list[list[int]]) -> Transitions:
    """Count, in arrays of one shape."""
    counts = Transitions.fit(Histories.from_lists(training), ITEMS, neighbors=ONE_SHAPE)
    room = ((0, 0), (0, ONE_SHAPE - counts.neighbors.shape[1]))
    return dataclasses.replace(
        counts,
        neighbors=jnp.pad(counts.neighbors, room),
        weights=jnp.pad(counts.weights, room),
        share=SHARE,
    )


def by_hand(
    counts: Transitions, codes: np.ndarray, own: list[int], allowed: list[int]
) -> dict[int, float]:
    """Score every allowed item by the model and by the counts, and add the scores up."""
    spelled = rank_all_items(
        protocol_logits(MODEL, History.from_items(codes, [own], 4)), codes, allowed
    )
    one_code = np.arange(len(codes))[:, None]
    history = History.from_items(one_code, [own], counts.max_items)
    shares = np.asarray(counts.with_items(len(codes)).prefill(history)[0])[0, 0]
    return {one.item: (1 - SHARE) * one.score + SHARE * float(shares[one.item]) for one in spelled}


def check(found: Any, wanted: dict[int, float]) -> None:
    """Compare an answer to one user: all of the items, by falling scores."""
    assert sorted(one.item for one in found) == sorted(wanted)
    scores = [one.score for one in found]
    np.testing.assert_allclose(scores, [wanted[one.item] for one in found], rtol=1e-4, atol=1e-4)
    assert scores == sorted(scores, reverse=True)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    training=st.lists(EVENTS, min_size=1, max_size=5).filter(any),
    lists=st.lists(EVENTS, min_size=3, max_size=3),
    mask=st.lists(st.booleans(), min_size=ITEMS, max_size=ITEMS).filter(any),
)
def test_equals_ranking_every_item(
    training: list[list[int]], lists: list[list[int]], mask: list[bool]
) -> None:
    counts = counted(training)
    shop = Recommender(MODEL, INDEX, CODES, max_items=4, transitions=counts)
    few, where_of = ItemFilter.from_mask(INDEX, np.array(mask)), [0, -1, 0]
    found = shop.recommend_many(
        Histories.from_lists(lists), k=ITEMS, beams=ITEMS, where=[few], where_of=where_of
    )
    for user, own in enumerate(lists):
        allowed = [i for i in range(ITEMS) if i not in own and (where_of[user] or mask[i])]
        check(found[user], by_hand(counts, CODES, own, allowed))


def test_exact_scores_are_of_all_items() -> None:
    counts, own = counted([[0, 1, 2, 3], [5, 1, 7], [2, 1, 2]]), [5, 1]
    shop = Recommender(MODEL, INDEX, CODES, max_items=4, transitions=counts)
    assert shop.max_items == counts.max_items
    found = shop.recommend_many([own], k=ITEMS, exact=True, exclude_seen=False)
    check(found[0], by_hand(counts, CODES, own, list(range(ITEMS))))


@pytest.mark.slow
def test_items_that_come_and_go() -> None:
    """A new item has the smoothed share of one without events; a removed one is never answered."""
    counts = counted([[0, 1, 2, 3], [5, 1, 7], [2, 1, 2]])
    shop = Recommender(MODEL, INDEX, CODES, max_items=4, transitions=counts)
    live = LiveIndex(INDEX).insert([[0, 1, 2], [3, 2, 0]]).remove([2, 7])
    codes = np.concatenate([CODES, [[0, 1, 2], [3, 2, 0]]])
    shop.refresh(live, codes)
    for own in ([5, 1], [12, 1, 13], []):
        found = shop.recommend_many([own], k=14, beams=14)
        allowed = [i for i in range(14) if i not in (2, 7, *own)]
        check(found[0], by_hand(counts, codes, own, allowed))


def test_a_weight_of_nothing_costs_nothing() -> None:
    counts = dataclasses.replace(counted([[0, 1]]), share=0.0)
    assert len(Recommender(MODEL, INDEX, transitions=counts).decoder.searchers) == 1
    assert len(Recommender(MODEL, INDEX, transitions=counted([[0, 1]])).decoder.searchers) == 2


def test_counts_of_other_items_are_refused() -> None:
    counts = Transitions.fit(Histories.from_lists([[0, 1]]), ITEMS + 1)
    with pytest.raises(GenretError, match="found counts of 13 items, expected at most the 12 of"):
        Recommender(MODEL, INDEX, transitions=counts)
