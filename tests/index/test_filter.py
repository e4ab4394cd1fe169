"""Filters: counts over rows against a sum over a mask, and the algebra of sets."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.errors import GenretError
from genret.index import FilterStack, ItemFilter, TrieIndex
from genret.index.bits import unpack_bits
from genret.testing import DictTrie, random_codes


# Around the ends of words (32) and of blocks (224).
@settings(max_examples=25)
@given(
    st.sampled_from([1, 32, 33, 223, 224, 600]),
    st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    st.integers(0, 99),
)
def test_filters_are_sets_of_rows(num_items: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = random_codes(num_items, (7, 7), seed=seed)
    index = TrieIndex.from_codes(codes)
    one, two = rng.random((2, num_items)) < share
    a, b = ItemFilter.from_mask(index, one), ItemFilter.from_mask(index, two)
    filters = [a, ~a, a & b, a | ~b]
    masks = [one, ~one, one & two, one | ~two]
    stack = FilterStack.of(index, filters)
    assert stack.capacity == 4
    allowed = stack.rows
    segment = index.trie
    positions = np.asarray(segment.position_of(jnp.arange(num_items)))
    for number, (item_filter, mask) in enumerate(zip(filters, masks, strict=True)):
        assert item_filter.num_allowed == mask.sum()
        assert item_filter.mask().tolist() == mask.tolist()
        assert unpack_bits(allowed.rows[number], num_items).tolist() == mask[positions].tolist()
        # The masks of a dense level are those of an index of the allowed items.
        for level, words in enumerate(allowed.masks):
            if words is None:
                continue
            bits = np.unpackbits(
                np.ascontiguousarray(words[number]).view(np.uint8), bitorder="little"
            )
            width = 32 * words.shape[-1]
            found = [divmod(int(cell), width) for cell in np.flatnonzero(bits)]
            prefixes = DictTrie(codes).prefixes(level)
            expected = {tuple(row[: level + 1]) for row in codes[mask].tolist()}
            assert {(*prefixes[node], code) for node, code in found} == expected


def test_filters_from_ids() -> None:
    index = TrieIndex.from_codes([[3], [1], [2]], ["c", "a", "b"])
    item_filter = ItemFilter.from_items(index, ["a", "c", "a"])
    assert item_filter.mask().tolist() == [True, True, False]
    assert ItemFilter.from_items(index, []).num_allowed == 0
    with pytest.raises(GenretError, match="'nobody'"):
        ItemFilter.from_items(index, ["a", "nobody"])


def test_bad_masks_are_named() -> None:
    index = TrieIndex.from_codes([[3], [1], [2]])
    for mask in ([True, False], [1, 0, 1], [[True, True, True]]):
        with pytest.raises(GenretError, match="mask: found"):
            ItemFilter.from_mask(index, mask)


def test_filters_of_two_indices_do_not_mix() -> None:
    first = TrieIndex.from_codes([[3], [1], [2]])
    for codes in ([[1], [2], [3]], [[3], [1], [2], [4]], [[3], [1], [4]]):
        other = TrieIndex.from_codes(codes)
        foreign = ItemFilter.from_items(other, [0])
        with pytest.raises(GenretError, match="two indices"):
            foreign & ItemFilter.from_items(first, [0])
        with pytest.raises(GenretError, match="another index"):
            FilterStack.of(first, [foreign])
    for filters in ([], ["fresh"]):
        with pytest.raises(GenretError, match="filters"):
            FilterStack.of(first, filters)
