"""The lines of codes that beams on an accelerator are filled from."""

import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels.load_rows import load_rows
from genret_kernels.rows_level import layout

from genret import TrieIndex


@pytest.mark.parametrize("depth", [3, 5, 9, 20])
@pytest.mark.parametrize("items", [40, 3000])
def test_words_are_those_of_the_rows(items: int, depth: int) -> None:
    rng = np.random.default_rng(depth)
    codes = rng.integers(0, 5000, (items, depth))
    codes[:, 0] = np.arange(items) // 6
    index = TrieIndex.from_codes(codes, codes_per_level=(5000,) * depth).to("tpu")
    plan = index.trie.accelerated
    assert plan is not None
    assert 0 < plan.first < depth
    assert plan.stride > 1
    lo = np.arange(items).reshape(5, -1)
    records = np.zeros((*lo.shape, layout.LANES), np.int32)
    records[..., layout.LO] = lo
    filled = load_rows(plan.words, jnp.asarray(records), pairs=plan.pairs, stride=plan.stride)
    words = plan.pairs * plan.stride
    found = np.asarray(filled)[..., layout.DATA : layout.DATA + words]
    found = found.reshape(*lo.shape, plan.pairs, plan.stride)
    rows = codes[np.lexsort(codes.T[::-1])][:, plan.first :]
    rows = np.pad(rows, ((0, plan.stride), (0, rows.shape[1] % 2)))
    own = rows[lo[..., None] + np.arange(plan.stride)]  # behind the last row: 0
    expected = own[..., 0::2] | own[..., 1::2] << 16
    np.testing.assert_array_equal(found, np.moveaxis(expected, -1, -2))
