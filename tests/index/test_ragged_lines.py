"""The children of ragged nodes in lines, against a search in the sorted codes."""

import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels.lines_level.reference import gathered

from genret import TrieIndex
from genret.index.levels.dense import bits_of
from genret.index.nodes import NodeRange
from genret.index.ragged_lines import RaggedLines, wide_nodes


@pytest.mark.parametrize(
    ("items", "counts", "ragged"),
    [
        pytest.param(3000, (40, 5000, 1000), [1, 2], marks=pytest.mark.slow),
        (500, (5000, 300, 1000), [1]),
        pytest.param(500, (60_000, 5000, 1000), [0, 1], marks=pytest.mark.slow),
    ],
)
def test_children_are_those_of_the_rows(
    items: int, counts: tuple[int, ...], ragged: list[int]
) -> None:
    """A root that is wide or dense, and below it wide nodes beside such as have 1 to 32 rows."""
    rng = np.random.default_rng(items)
    ids = np.minimum(rng.zipf(1.2, (items, 3)) - 1, np.array(counts) - 1)
    ids[: items // 8, 0], ids[: items // 8, 1] = 39, rng.integers(0, counts[1], items // 8)
    trie = TrieIndex.from_codes(ids, codes_per_level=counts).to("gpu").trie
    plan, rows = trie.accelerated, ids[np.lexsort(ids.T[::-1])]
    assert plan is not None
    above = np.arange(items) == 0
    for level, branch in enumerate(plan.branches):
        starts = above | (np.diff(rows[:, level], prepend=-1) != 0)
        if isinstance(branch, RaggedLines):
            lo = np.flatnonzero(above)
            hi = np.append(lo[1:], items)
            number = np.cumsum(wide_nodes(above)) - 1
            number, lo, hi = (jnp.asarray(x[None], jnp.int32) for x in (number, lo, hi))
            nodes = NodeRange(nodes=number, lo=lo, hi=hi)
            legal = np.asarray(bits_of(branch.words(nodes, gathered)))[0].reshape(lo.size, -1)
            child_lo = np.flatnonzero(starts)
            child_hi = np.append(child_lo[1:], items)
            parent, code = np.cumsum(above)[child_lo] - 1, rows[child_lo, level]
            expected = np.zeros_like(legal)
            expected[parent, code] = True
            np.testing.assert_array_equal(legal, expected)
            of_parents = NodeRange(
                nodes=nodes.nodes[:, parent], lo=nodes.lo[:, parent], hi=nodes.hi[:, parent]
            )
            found = branch.child(of_parents, jnp.asarray(code[None], jnp.int32), gathered)
            np.testing.assert_array_equal(found.lo[0], child_lo)
            np.testing.assert_array_equal(found.hi[0], child_hi)
            wide = child_hi - child_lo > 32
            if level + 1 < plan.first:
                np.testing.assert_array_equal(
                    np.asarray(found.nodes)[0][wide], np.arange(wide.sum())
                )
        above = starts
    found_ragged = [n for n, x in enumerate(plan.branches) if isinstance(x, RaggedLines)]
    assert found_ragged == ragged
