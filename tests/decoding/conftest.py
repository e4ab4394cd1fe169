"""Comparison of a search with its oracles, one request at a time."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from genret.decoding import beam_search
from genret.index import ItemFilter, LayoutRules, LiveIndex, TrieIndex
from genret.testing import RankedItem, TableModel, check_answer, rank_all_items, slow_beam_search


def exact_model(counts: tuple[int, ...], seed: int, spread: int, dtype: Any = None) -> TableModel:
    """Make a model whose arithmetic is exact, so that ties and orders are the same everywhere.

    The last code of each level, which no item has, has logit 0; the others have integers of at
    most -110, whose exponential is 0 in float32. So the normalizer is 0, log-probabilities are
    the logits, and their sums are exact. A small ``spread`` gives many ties.
    """
    rng = np.random.default_rng(seed)
    tables = []
    for count in counts:
        table = -110.0 - rng.integers(0, spread, (31, count + 1))
        table[:, -1] = 0
        tables.append(table)
    return TableModel.of(tables, dtype or jnp.float32)


RULES = {
    "auto": LayoutRules(least_pass=8),
    "dense": LayoutRules(single_rows=0, window_rows=0, dense_ratio=10**9, few_edges=0),
    "window": LayoutRules(dense_ratio=0, least_pass=8),
    "ragged": LayoutRules(single_rows=0, window_rows=0, dense_ratio=0, least_pass=8, few_edges=0),
}
"""Rules that store all levels in one way, and let ragged ones take several passes. Two of them look
first rows of edges up, and two search for them."""


def index_of(codes: np.ndarray, stored: str = "auto", **options: Any) -> TrieIndex:
    """Build an index whose levels are all stored in one way: "dense", "window" or "ragged".

    "window" is taken where no node has more than 32 rows; other levels are ragged.
    """
    return TrieIndex.from_codes(codes, rules=RULES[stored], **options)


def compare(
    model: TableModel,
    codes: np.ndarray,
    *,
    beams: int,
    batch: int = 3,
    masks: np.ndarray | None = None,
    filter_of: list[int] | None = None,
    exclude: np.ndarray | None = None,
    beams_of: list[int] | None = None,
    exhaustive: bool = False,
    exact: bool = True,
    index: TrieIndex | None = None,
) -> list[list[RankedItem]]:
    """Hold a search against the slow beam search (or the exhaustive ranking); return the latter."""
    index = index_of(codes) if index is None else index
    history = jnp.arange(batch, dtype=jnp.int32)
    result = beam_search(
        model, history, index, beams=beams,
        filters=None if masks is None else [ItemFilter.from_mask(index, mask) for mask in masks],
        filter_of=filter_of, exclude=exclude, beams_of=beams_of, check=True,
    )  # fmt: skip
    items, scores, valid = (np.asarray(x) for x in (result.items, result.scores, result.valid))
    assert items.shape == scores.shape == valid.shape == (batch, beams)
    assert (items.dtype, scores.dtype, valid.dtype) == (np.int32, np.float32, bool)
    answers, checked = [], []
    for b in range(batch):
        allowed = (
            np.ones(len(codes), bool) if masks is None else masks[(filter_of or [0] * batch)[b]]
        )
        gone = set() if exclude is None else set(exclude[b].tolist())
        keep = [i for i in np.flatnonzero(allowed).tolist() if i not in gone]

        def logits_of(prefix: tuple[int, ...], b: int = b) -> np.ndarray:
            return model.logits_after(history, b, prefix)

        most = beams if beams_of is None else beams_of[b]
        if exhaustive:
            expected = rank_all_items(logits_of, codes, keep)[:most]
        else:
            expected = slow_beam_search(logits_of, codes, most, keep)
        n = len(expected)
        wanted = np.array([e.score for e in expected], np.float32)
        if not exact:
            np.testing.assert_allclose(scores[b, :n], wanted, rtol=1e-5, atol=1e-5)
            wanted = scores[b, :n]
        checked.append((np.array([e.item for e in expected], int), wanted))
        answers.append(expected)
    check_answer(result, checked, codes)
    return answers


@pytest.fixture(scope="session")
def equals_oracle() -> Callable[..., list[list[RankedItem]]]:
    return compare


@pytest.fixture(scope="session")
def make_index() -> Callable[..., TrieIndex]:
    return index_of


@pytest.fixture(scope="session")
def make_live() -> Callable[..., LiveIndex]:
    def live(codes: np.ndarray, stored: str, insert_capacity: int, **options: Any) -> LiveIndex:
        index = index_of(codes, stored, **options)
        return LiveIndex(index, insert_capacity=insert_capacity, rules=RULES[stored])

    return live


@pytest.fixture(scope="session")
def make_exact() -> Callable[..., TableModel]:
    return exact_model
