"""Policies: counts over rows against a sum over a mask, and the algebra of sets."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.errors import GenretError
from genret.index import Policy, PolicyStack, TrieIndex
from genret.testing import random_codes


def counts_before(index: TrieIndex, mask: np.ndarray) -> list[int]:
    return [0, *np.cumsum(mask[np.asarray(index.rows)]).tolist()]


# Around the ends of words (32) and of blocks (256).
@settings(max_examples=25)
@given(
    st.sampled_from([1, 32, 33, 255, 256, 600]),
    st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    st.integers(0, 99),
)
def test_rank_counts_the_allowed_rows(num_items: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    index = TrieIndex.from_codes(random_codes(num_items, (7, 7), seed=seed))
    one, two = rng.random((2, num_items)) < share
    a, b = Policy.from_mask(index, one), Policy.from_mask(index, two)
    rows = jnp.arange(num_items + 1, dtype=jnp.int32)
    for policy, mask in [(a, one), (~a, ~one), (a & b, one & two), (a | ~b, one | ~two)]:
        assert policy.rank(rows).tolist() == counts_before(index, mask)
        assert policy.num_allowed == mask.sum()
    stack = PolicyStack.of(index, [a, b, a & b])
    ranks = stack.rank(jnp.array([2, 0]), jnp.stack([rows, rows]))
    assert ranks.tolist() == [counts_before(index, one & two), counts_before(index, one)]


def test_policies_from_ids() -> None:
    index = TrieIndex.from_codes([[3], [1], [2]], ["c", "a", "b"])
    policy = Policy.from_items(index, ["a", "c", "a"])
    assert policy.rank(jnp.arange(4)).tolist() == [0, 1, 1, 2]
    assert Policy.from_items(index, []).num_allowed == 0
    with pytest.raises(GenretError, match="'nobody'"):
        Policy.from_items(index, ["a", "nobody"])


def test_bad_masks_are_named() -> None:
    index = TrieIndex.from_codes([[3], [1], [2]])
    for mask in ([True, False], [1, 0, 1], [[True, True, True]]):
        with pytest.raises(GenretError, match="mask: found"):
            Policy.from_mask(index, mask)


def test_policies_of_two_indices_do_not_mix() -> None:
    first = TrieIndex.from_codes([[3], [1], [2]])
    for codes in ([[1], [2], [3]], [[3], [1], [2], [4]]):
        other = TrieIndex.from_codes(codes)
        foreign = Policy.from_items(other, [0])
        with pytest.raises(GenretError, match="two indices"):
            foreign & Policy.from_items(first, [0])
        with pytest.raises(GenretError, match="another index"):
            PolicyStack.of(first, [foreign])
    for policies in ([], ["fresh"]):
        with pytest.raises(GenretError, match="policies"):
            PolicyStack.of(first, policies)
