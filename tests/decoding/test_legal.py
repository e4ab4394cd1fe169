"""Masks for loops that are not ours: equal to a dictionary of prefixes, whatever the trie."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.decoding import legal_codes
from genret.index import FilterStack, ItemFilter, LiveIndex, TrieIndex

ask = jax.jit(legal_codes)


def slow(codes, allowed, prefix, count):
    """Look at every item."""
    mask = np.zeros(count, bool)
    for row, is_allowed in zip(codes, allowed, strict=True):
        if is_allowed and tuple(row[: len(prefix)]) == tuple(prefix):
            mask[row[len(prefix)]] = True
    return mask


@settings(max_examples=3)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 40), min_size=1, max_size=2),
    st.integers(1, 60),
)
def test_masks_are_those_of_a_look_at_every_item(seed, sizes, count) -> None:
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, v, count) // rng.integers(1, 4) for v in sizes], axis=1)
    index = TrieIndex.from_codes(codes, codes_per_level=sizes)
    chosen = np.flatnonzero(rng.random(count) < 0.5)
    stack = FilterStack.of(index, [ItemFilter.from_items(index, chosen)])
    allowed = np.isin(np.arange(count), chosen)
    for length in range(len(sizes)):
        prefixes = np.concatenate(
            [codes[rng.integers(0, count, 6), :length], rng.integers(-1, 60, (3, length))]
        ).astype(np.int32)
        for filters, mask in ((None, np.ones(count, bool)), (stack, allowed)):
            found = ask(index, jnp.asarray(prefixes), filters=filters)
            for row, prefix in zip(np.asarray(found), prefixes, strict=True):
                np.testing.assert_array_equal(row, slow(codes, mask, prefix, sizes[length]))


@pytest.mark.parametrize("kind", ["dense", "window", "ragged"])
def test_all_kinds_of_levels(kind) -> None:
    rng = np.random.default_rng(0)
    sizes = {"dense": (8, 8), "window": (60, 3000), "ragged": (2, 30000)}[kind]
    codes = np.stack([rng.integers(0, v, 400) for v in sizes], axis=1)
    index = TrieIndex.from_codes(codes, codes_per_level=sizes)
    assert index.stored_as[1] == kind
    prefixes = np.array([[0], [1], [sizes[0] - 1], [sizes[0]]], np.int32)
    found = np.asarray(ask(index, jnp.asarray(prefixes)))
    for row, prefix in zip(found, prefixes, strict=True):
        np.testing.assert_array_equal(row, slow(codes, np.ones(400), prefix, sizes[1]))


def test_removed_and_inserted_items_and_ends() -> None:
    start = TrieIndex.from_codes([[3, 1], [0, 2], [3, 0]], codes_per_level=(4, 3))
    index = LiveIndex(start, insert_capacity=4)
    index = index.insert([[3, 2], [1, 1]]).remove([0, 1])
    found = ask(index, jnp.array([[3], [0], [1]], jnp.int32))
    assert found.astype(int).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    root = ask(index, jnp.zeros((1, 0), jnp.int32))
    assert root.astype(int).tolist() == [[0, 1, 0, 1]]
    ended = TrieIndex.from_codes([[2, 0], [1, 2]], codes_per_level=(3, 3), end_code=0)
    found = ask(ended, jnp.array([[0], [2], [1]], jnp.int32))
    assert found.astype(int).tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 1]]
