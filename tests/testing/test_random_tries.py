"""The oracles of large catalogs and of random tries: equal to the slow ones, and they refuse."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from genret.decoding import beam_search
from genret.errors import GenretError
from genret.index import LiveIndex, TrieIndex
from genret.testing import (
    Family,
    GivenLogits,
    SortedCatalog,
    TableModel,
    check_answer,
    count_invalid,
    exact_logits,
    random_codes,
    slow_beam_search,
)

SIZES = (5, 4, 6)


@pytest.mark.parametrize("kind", ["uniform", "zipf", "duplicates"])
def test_the_oracles_agree(kind: str) -> None:
    rng = np.random.default_rng(0)
    model = TableModel.of([exact_logits(rng, 31, count) for count in SIZES])
    codes, history = random_codes(60, SIZES, kind, seed=1), jnp.array([5])
    allowed = rng.random(60) < 0.7
    expected = slow_beam_search(
        lambda prefix: model.logits_after(history, 0, prefix),
        codes,
        8,
        np.flatnonzero(allowed).tolist(),
    )
    prefixes: list[tuple[int, ...]] = [()]

    def logits_of(level: int, own: np.ndarray, parents: np.ndarray) -> np.ndarray:
        nonlocal prefixes
        if level:
            both = zip(parents.tolist(), own.tolist(), strict=True)
            prefixes = [(*prefixes[parent], code) for parent, code in both]
        return np.stack([model.logits_after(history, 0, prefix) for prefix in prefixes])

    catalog = SortedCatalog.of(codes, allowed)
    rows, scores = catalog.search(logits_of, 8).items(8)
    assert catalog.positions[rows].tolist() == [e.item for e in expected]
    assert scores.tolist() == [e.score for e in expected]


def test_random_tries_are_searched_exactly_while_they_change() -> None:
    rng = np.random.default_rng(2)
    family = Family(SIZES, 40, 6, restricted=True)
    codes = family.trie(rng)
    there = np.ones(len(codes), bool)
    there[0] = False
    index = LiveIndex(TrieIndex.from_codes(codes, codes_per_level=SIZES)).remove([0])
    found, allowed, wrong = family.search(rng, index, codes, there)
    assert wrong is None
    assert not allowed[:, 0].any()
    assert count_invalid(found, codes, allowed) == 0
    # Nothing is allowed now: every answer is one too many.
    none = np.zeros_like(allowed)
    assert count_invalid(found, codes, none) == int(np.asarray(found.valid).sum())


def test_a_wrong_answer_is_refused() -> None:
    codes = random_codes(300, (9, 9, 9))
    index = TrieIndex.from_codes(codes, codes_per_level=(9, 9, 9))
    model, history = GivenLogits.random(2, 5, (9, 9, 9), seed=0)
    catalog = SortedCatalog.of(codes)
    result = beam_search(model, history, index, beams=5)
    items, scores = (np.asarray(x) for x in (result.items, result.scores))
    check_answer(result, list(zip(items, scores, strict=True)), codes)
    assert catalog.holds(np.asarray(result.codes)).all()
    for wrong in (
        {"items": items[:, ::-1]},
        {"scores": np.nextafter(scores, np.float32(-np.inf))},
        {"valid": np.zeros_like(result.valid)},
        {"codes": np.asarray(result.codes)[:, ::-1]},
    ):
        changed = {name: jnp.asarray(values) for name, values in wrong.items()}
        with pytest.raises(GenretError, match=f"answer: {next(iter(wrong))} of request 0"):
            check_answer(
                dataclasses.replace(result, **changed), list(zip(items, scores, strict=True)), codes
            )
