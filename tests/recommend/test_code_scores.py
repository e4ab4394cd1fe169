"""Recommender of a model whose codes have no order: every item is ranked by the sum of its codes."""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.config import RPGConfig
from genret.histories import Histories
from genret.index import ItemFilter, LiveIndex, TrieIndex
from genret.models import CodeScores, History, Transitions, build_model
from genret.recommend import Recommender
from genret.recommend._shares import lists_by_share
from genret.testing import random_codes

SIZES, ITEMS = (5, 4, 3, 6), 12
CODES = random_codes(ITEMS, SIZES, "duplicates", seed=1)
NAMES = [f"item {number}" for number in range(ITEMS)]
INDEX = TrieIndex.from_codes(CODES, codes_per_level=SIZES)
CONFIG = RPGConfig(
    codes_per_level=SIZES, width=16, heads=2, kv_heads=1, head_dim=8, mlp_dim=16, max_items=4
)
MODEL = jax.jit(lambda: build_model(CONFIG, 3))()
EVENTS = st.lists(st.integers(0, ITEMS - 1), max_size=8)


def by_hand(codes: np.ndarray, own: list[int]) -> np.ndarray:
    """Return the score of every item: its share of the products of the codes' probabilities."""
    logits = MODEL(History.from_items(codes, [own], 4))
    log_probs = [np.asarray(jax.nn.log_softmax(one), float)[0] for one in logits]
    total = sum(one[codes[:, level]] for level, one in enumerate(log_probs))
    return np.asarray(total - np.logaddexp.reduce(total))


def check(found, codes: np.ndarray, own: list[int], allowed: list[int]) -> None:
    wanted = by_hand(codes, own)
    assert sorted(one.item for one in found) == sorted(allowed)
    scores = [one.score for one in found]
    np.testing.assert_allclose(scores, [wanted[one.item] for one in found], rtol=1e-4, atol=1e-4)
    assert scores == sorted(scores, reverse=True)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    lists=st.lists(EVENTS, min_size=3, max_size=3),
    mask=st.lists(st.booleans(), min_size=ITEMS, max_size=ITEMS).filter(any),
    exact=st.booleans(),
)
def test_equals_ranking_every_item(lists: list[list[int]], mask: list[bool], exact: bool) -> None:
    shop = Recommender(MODEL, INDEX, CODES)
    few, where_of = ItemFilter.from_mask(INDEX, np.array(mask)), [0, -1, 0]
    found = shop.recommend_many(
        Histories.from_lists(lists),
        k=ITEMS,
        beams=ITEMS,
        where=[few],
        where_of=where_of,
        exact=exact,
    )
    for user, own in enumerate(lists):
        allowed = [i for i in range(ITEMS) if i not in own and (where_of[user] or mask[i])]
        check(found[user], CODES, own, allowed)


def test_few_beams_find_the_best_items() -> None:
    """Nothing is pruned by a code: two beams find the two best, and answers have the items' ids."""
    named = TrieIndex.from_codes(CODES, codes_per_level=SIZES, item_ids=NAMES)
    shop = Recommender(MODEL, named, CODES)
    assert isinstance(shop.decoder.searchers[0].model, CodeScores)
    own = [5, 1]
    found = shop.recommend(["item 5", "item 1"], k=2, beams=2)[0]
    ranked = [i for i in np.argsort(-by_hand(CODES, own), kind="stable") if i not in own]
    assert [one.item for one in found] == ranked[:2]
    assert [one.id for one in found] == [NAMES[i] for i in ranked[:2]]


@pytest.mark.slow
def test_items_that_come_and_go() -> None:
    shop = Recommender(MODEL, INDEX, CODES)
    new = [[0, 1, 2, 5], [3, 2, 0, 0]]
    live = LiveIndex(INDEX).insert(new).remove([2, 7])
    codes = np.concatenate([CODES, new])
    shop.refresh(live, codes)
    few = ItemFilter.from_mask(live, np.arange(14) % 2 == 0)
    for own in ([5, 1], [12, 1, 13], []):
        left = [i for i in range(14) if i not in (2, 7, *own)]
        check(shop.recommend_many([own], k=14, beams=14)[0], codes, own, left)
        check(shop.recommend_many([own], k=14, exact=True)[0], codes, own, left)
        even = shop.recommend_many([own], k=14, beams=14, where=few)
        check(even[0], codes, own, [i for i in left if i % 2 == 0])


@pytest.mark.slow
def test_weights_are_chosen_by_what_is_recommended() -> None:
    """The lists of each weight are those of a recommender with this weight: one beam prunes nothing."""
    counts = Transitions.fit(Histories.from_lists([[0, 1, 2, 3], [5, 1, 7], [2, 1, 2]]), ITEMS)
    asked, shares = Histories.from_lists([[item] for item in range(ITEMS)]), (0.0, 0.4)
    found = lists_by_share(
        MODEL, INDEX, CODES, asked, [(None, share) for share in shares], transitions=counts,
        max_items=4, k=1, beams=1, exclude_seen=True,
    )  # fmt: skip
    for share, lists in zip(shares, found, strict=True):
        fused = dataclasses.replace(counts, share=share)
        shop = Recommender(MODEL, INDEX, CODES, transitions=fused)
        np.testing.assert_array_equal(lists, shop.recommend_many(asked, k=1, beams=1).items)


@pytest.mark.slow
def test_it_is_fused_with_other_models() -> None:
    """Counts and another recommender take part, on the same items, by the weights that are given."""
    counts = Transitions.fit(Histories.from_lists([[0, 1, 2, 3], [5, 1, 7], [2, 1, 2]]), ITEMS)
    one_code = np.arange(ITEMS)[:, None]
    alone = Recommender(counts, TrieIndex.from_codes(one_code), one_code, max_items=20)
    shop = Recommender(MODEL, INDEX, CODES, channels=[alone], weights=[0.7, 0.3])
    own = [5, 1]
    found = shop.recommend_many([own], k=ITEMS, beams=ITEMS, exclude_seen=False)[0]
    shares = np.asarray(counts.prefill(History.from_items(one_code, [own], 20))[0], float)[0, 0]
    shares = shares - np.logaddexp.reduce(shares)
    wanted = 0.7 * by_hand(CODES, own) + 0.3 * shares
    np.testing.assert_allclose(
        [one.score for one in found], [wanted[one.item] for one in found], rtol=1e-4, atol=1e-4
    )
    assert [one.item for one in found] == list(np.argsort(-wanted, kind="stable"))
