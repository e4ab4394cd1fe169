"""The lines of codes that beams on an accelerator are filled from."""

import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels.lines_level.reference import gathered
from genret_kernels.load_rows import load_rows
from genret_kernels.rows_level import layout
from hypothesis import given
from hypothesis import strategies as st

from genret import ItemFilter, TrieIndex
from genret.index import FilterStack
from genret.index.accelerated import _line_shape
from genret.index.cells import DenseLines
from genret.index.levels import DenseLevel
from genret.index.lines import LANES


@pytest.mark.parametrize("platform", ["tpu", "gpu"])
@pytest.mark.parametrize("depth", [3, 5, 9, 20])
@pytest.mark.parametrize("items", [40, 3000])
def test_words_are_those_of_the_rows(items: int, depth: int, platform: str) -> None:
    rng = np.random.default_rng(depth)
    codes = rng.integers(0, 5000, (items, depth))
    codes[:, 0] = np.arange(items) // 6
    index = TrieIndex.from_codes(codes, codes_per_level=(5000,) * depth).to(platform)
    plan = index.trie.accelerated
    assert plan is not None
    assert 0 < plan.first < depth
    assert plan.stride > 1
    lo = np.arange(items).reshape(5, -1)
    records = np.zeros((*lo.shape, layout.LANES), np.int32)
    records[..., layout.LO] = lo
    assert (plan.held > plan.step) == (platform == "tpu")
    shape = {name: getattr(plan, name) for name in ("pairs", "stride", "step", "held")}
    filled = load_rows(plan.words, jnp.asarray(records), **shape)
    words = plan.pairs * plan.stride
    found = np.asarray(filled)[..., layout.DATA : layout.DATA + words]
    found = found.reshape(*lo.shape, plan.pairs, plan.stride)
    rows = codes[np.lexsort(codes.T[::-1])][:, plan.first :]
    rows = np.pad(rows, ((0, plan.stride), (0, rows.shape[1] % 2)))
    own = rows[lo[..., None] + np.arange(plan.stride)]  # behind the last row: 0
    expected = own[..., 0::2] | own[..., 1::2] << 16
    np.testing.assert_array_equal(found, np.moveaxis(expected, -1, -2))


@given(st.integers(1, 128), st.sampled_from([1, 2, 4, 8, 16, 32]), st.booleans())
def test_lines_hold_the_rows_of_a_node(words: int, stride: int, overlap: bool) -> None:
    step, held = _line_shape(words, stride, overlap=overlap)
    assert step & (step - 1) == 0
    assert held * words <= LANES < 2 * step * words * (2 if held > step else 1)
    assert held == step or (overlap and held >= step + stride - 1)
    if overlap and 2 * (LANES // words - stride + 1) >= step:
        assert held >= step + stride - 1  # also where a node has one row


@pytest.mark.parametrize("filtered", [False, True])
def test_dead_codes_are_those_of_the_trie(filtered: bool) -> None:
    rng = np.random.default_rng(filtered)
    codes = rng.integers(0, [4, 9, 5000], (600, 3))
    index = TrieIndex.from_codes(codes, codes_per_level=(4, 9, 5000)).to("tpu")
    trie, plan = index.trie, index.trie.accelerated
    assert plan is not None
    assert plan.first == 2
    # All items of a prefix, of another all but one, some others, some of them twice; all in any order.
    whole, most = (
        np.flatnonzero((codes[:, :2] == prefix).all(axis=1)) for prefix in ([1, 2], [3, 7])
    )
    exclude = np.concatenate([whole, most[1:], rng.integers(0, 600, 40), [-1] * 9])
    exclude = np.stack([exclude, rng.permutation(exclude)])
    filters = filter_of = None
    if filtered:
        masks = [rng.random(600) < share for share in (0.1, 0.6)]
        stack = FilterStack.of(index, [ItemFilter.from_mask(index, mask) for mask in masks])
        filters, filter_of = stack.rows, jnp.array([1, 0], jnp.int32)
    rules = trie.restricted(filters, filter_of, jnp.asarray(exclude, jnp.int32), index.row_of_item)
    assert rules is not None
    for number, level in enumerate(trie.levels[: plan.first]):
        assert isinstance(level, DenseLevel)
        found, expected = plan.dead_codes(number, rules, gathered), level.dead_codes(rules)
        assert found is not None
        assert expected is not None
        np.testing.assert_array_equal(found.dead, expected.dead)
        assert found.dead.any() == (number == 1)
        np.testing.assert_array_equal(
            np.where(found.dead, found.codes, -1), np.where(found.dead, expected.codes, -1)
        )
        np.testing.assert_array_equal(found.rows, expected.rows)


@pytest.mark.parametrize("counts", [(4, 9, 300), (7, 256, 40), (3, 2048, 70)])
def test_bits_of_several_nodes_are_in_a_line(counts: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    index = TrieIndex.from_codes(rng.integers(0, counts, (3000, 3)), codes_per_level=counts)
    plan = index.to("tpu").trie.accelerated
    assert plan is not None
    found = 0
    for level, branch in zip(index.trie.levels, plan.branches, strict=False):
        if isinstance(branch, DenseLines) and isinstance(level, DenseLevel):
            masks = np.asarray(level.masks)
            nodes = rng.integers(0, masks.shape[0], (2, 50))
            words = branch.words(jnp.asarray(nodes, jnp.int32), gathered)
            assert words is not None
            np.testing.assert_array_equal(words, masks[nodes])
            found += 1
    assert found > 1
