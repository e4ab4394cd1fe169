"""The search under settings of JAX that users choose: the same items, codes and types."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.decoding import BeamResult, beam_search, exact_search
from genret.index import FilterStack, ItemFilter, LayoutRules, LiveIndex, TrieIndex, legal_codes
from genret.testing import TableModel, random_codes

COUNTS = (6, 64, 300, 9)
CODES = random_codes(300, COUNTS, seed=1)
CODES = CODES[np.unique(CODES[:, :3], axis=0, return_index=True)[1]]
RULES = LayoutRules(dense_ratio=1, window_rows=16, least_pass=8)


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """Let JAX make 64-bit arrays where nobody says what to make, and refuse mixed types and NaN."""
    jax.config.update("jax_enable_x64", True)
    try:
        with jax.numpy_dtype_promotion("strict"), jax.debug_nans(True):
            yield
    finally:
        jax.config.update("jax_enable_x64", False)


def answers() -> dict[str, BeamResult]:
    """Return the answers of every way to search."""
    model = TableModel.random(COUNTS, seed=3)
    history = jnp.array([3, 4], jnp.int32)
    index = TrieIndex.from_codes(CODES, codes_per_level=COUNTS, rules=RULES)
    assert index.stored_as == ("dense", "ragged", "window", "single")
    masks = np.random.default_rng(0).random((2, len(CODES))) < 0.5
    stack = FilterStack.of(index, [ItemFilter.from_mask(index, mask) for mask in masks])
    limits: dict[str, Any] = {
        "filters": stack,
        "filter_of": [0, 1],
        "exclude": [[3, 7, -1], [1, 2, 3]],
    }
    live = LiveIndex(index, insert_capacity=10, rules=RULES)
    live = live.insert(random_codes(9, COUNTS, seed=5)).remove([4, len(CODES) + 1])
    prefixes = jnp.asarray(CODES[:4, :2], jnp.int32)
    legal = legal_codes(
        index, prefixes, filters=stack, filter_of=jnp.array([0, 1, 0, 1], jnp.int32)
    )
    nobody = jnp.full(legal.shape, -1, jnp.int32)
    return {
        "limited": beam_search(
            model, history, index, beams=7, beams_of=[7, 3], check=True, **limits
        ),
        "tail": beam_search(model, history, index, beams=7, tail=400),
        "sample": beam_search(
            model, history, index, beams=5, normalize="legal", sample=jax.random.key(1), **limits
        ),
        "two tries": beam_search(model, history, live, beams=7, normalize="catalog"),
        "exact": exact_search(model, history, index, top=7, **limits),
        "legal": BeamResult(
            items=nobody, scores=legal.astype(jnp.float32), codes=nobody[..., None], valid=legal
        ),
    }


@pytest.fixture(scope="module")
def expected() -> dict[str, BeamResult]:
    return answers()


def test_settings_of_jax_change_no_answer(expected: dict[str, BeamResult]) -> None:
    with strict():
        found = answers()
    for way, result in found.items():
        types = [x.dtype.name for x in (result.items, result.scores, result.codes, result.valid)]
        assert types == ["int32", "float32", "int32", "bool"], way
        np.testing.assert_array_equal(result.items, expected[way].items, err_msg=way)
        np.testing.assert_array_equal(result.codes, expected[way].codes, err_msg=way)
        np.testing.assert_allclose(result.scores, expected[way].scores, rtol=1e-6, err_msg=way)
