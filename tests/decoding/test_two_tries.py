"""Inserted items: every way to search answers as if one trie held them all."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.decoding import BeamResult, beam_search, exact_search
from genret.index import ItemFilter, LiveIndex
from genret.testing import (
    DictTrie,
    RankedItem,
    TableModel,
    random_codes,
    rank_all_items,
    slow_beam_search,
)

COUNTS = (5, 4, 6)
MODEL = TableModel.random(COUNTS, seed=1)
HISTORY = jnp.array([3, 4])
BASE, MORE = 40, 12
FIRST = {
    kind: random_codes(BASE, COUNTS, kind, seed=1) for kind in ("uniform", "zipf", "duplicates")
}


def changed(index: LiveIndex, rng: np.random.Generator) -> tuple[LiveIndex, np.ndarray, np.ndarray]:
    """Insert items, some of them with codes that are there, and remove some of all."""
    codes = index.codes_of(np.arange(BASE))
    new = random_codes(MORE, COUNTS, "uniform", seed=int(rng.integers(999)))
    same = rng.random(MORE) < 0.3
    new[same] = codes[rng.integers(0, BASE, same.sum())]
    new[:, 0] = np.where(rng.random(MORE) < 0.5, codes[rng.integers(0, BASE, MORE), 0], new[:, 0])
    gone = rng.random(BASE + MORE) < 0.2
    index = index.insert(new).remove(np.flatnonzero(gone))
    return index, np.concatenate([codes, new]), ~gone


def legal_logits(request: int, trie: DictTrie) -> Callable[[tuple[int, ...]], np.ndarray]:
    """Return a model of one request whose codes all lead to an item of a trie."""

    def logits_of(prefix: tuple[int, ...]) -> np.ndarray:
        logits = np.full(COUNTS[len(prefix)], -np.inf, np.float32)
        children = trie.children(prefix)
        logits[children] = MODEL.logits_after(HISTORY, request, prefix)[children]
        return logits

    return logits_of


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        pytest.param("auto", "uniform", marks=pytest.mark.slow),
        pytest.param("dense", "duplicates", marks=pytest.mark.slow),
        pytest.param("window", "zipf", marks=pytest.mark.slow),
        pytest.param("ragged", "duplicates", marks=pytest.mark.slow),
    ],
)
def test_legal_and_exact_scores(make_live: Callable, stored: str, kind: str) -> None:
    start = make_live(FIRST[kind], stored, MORE, codes_per_level=COUNTS)

    @settings(max_examples=12)
    @given(st.integers(0, 10**6), st.booleans())
    def legal_scores(seed: int, restricted: bool) -> None:
        index, codes, options, keep = drawn_case(start, seed, restricted)
        for normalize in ("legal", "catalog"):
            found = beam_search(MODEL, HISTORY, index, beams=9, normalize=normalize, **options)
            for b in range(2):
                among = keep[b] if normalize == "legal" else range(len(codes))
                logits = legal_logits(b, DictTrie(codes, among))
                ranked = slow_beam_search(logits, codes, 9, keep[b]) if keep[b] else []
                assert_answers(found, b, ranked)

    legal_scores()
    for seed in range(2):  # its programs are of one trie alone
        index, codes, options, keep = drawn_case(start, seed, True)
        every = exact_search(MODEL, HISTORY, index, top=60, **options)
        for b in range(2):
            logits_of = functools.partial(MODEL.logits_after, HISTORY, b)
            assert_answers(every, b, rank_all_items(logits_of, codes, keep[b]))


def drawn_case(
    start: LiveIndex, seed: int, restricted: bool
) -> tuple[LiveIndex, np.ndarray, dict[str, Any], list[list[int]]]:
    """Return a changed index, its codes, what requests may not be answered, and what they may."""
    rng = np.random.default_rng(seed)
    index, codes, there = changed(start, rng)
    mask = rng.random(len(codes)) < (0.5 if restricted else 2)
    seen = rng.integers(0, len(codes), (2, 5))
    keep = [[i for i in np.flatnonzero(mask & there).tolist() if i not in own] for own in seen]
    return index, codes, {"filters": [ItemFilter.from_mask(index, mask)], "exclude": seen}, keep


def assert_answers(result: BeamResult, request: int, expected: list[RankedItem]) -> None:
    n = len(expected)
    assert np.asarray(result.valid[request]).sum() == n
    assert np.asarray(result.items[request, :n]).tolist() == [e.item for e in expected]
    np.testing.assert_allclose(
        np.asarray(result.scores[request, :n]), [e.score for e in expected], atol=3e-5
    )
    assert result.codes[request, :n].tolist() == [list(e.codes) for e in expected]


@pytest.mark.slow
@pytest.mark.parametrize("stored", ["auto", "ragged"])
def test_samples_follow_the_model(make_live: Callable, stored: str) -> None:
    start = make_live(FIRST["uniform"], stored, MORE, codes_per_level=COUNTS)
    index, codes, there = changed(start, np.random.default_rng(5))
    keep = np.flatnonzero(there).tolist()
    batch = 4000
    result = beam_search(
        MODEL, jnp.full(batch, 3), index, beams=2, normalize="legal", sample=jax.random.key(0)
    )
    every = rank_all_items(legal_logits(0, DictTrie(codes, keep)), codes, keep)
    leaves = list(dict.fromkeys(e.codes for e in every))  # items of one leaf are drawn together
    score_of = {e.codes: e.score for e in every}
    probability = np.exp([score_of[leaf] for leaf in leaves])
    np.testing.assert_allclose(probability.sum(), 1, rtol=1e-4)
    drawn = np.array([leaves.index(tuple(c)) for c in result.codes[:, 0].tolist()])
    counted = np.bincount(drawn, minlength=len(leaves)) / batch
    # Five standard deviations of each share.
    assert (abs(counted - probability) < 5 * np.sqrt(probability / batch) + 1e-3).all()
    np.testing.assert_allclose(
        np.asarray(result.scores[:, 0]), np.log(probability)[drawn], atol=1e-4
    )
    items = np.asarray(result.items)
    assert (items[:, 0] != items[:, 1]).all()
    assert there[items].all()
