"""The child of a node along a code, in every kind of level, against a look at its rows."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from genret.index import TrieIndex
from genret.index.layout import LayoutRules
from genret.testing import random_codes

KINDS = {
    "auto": LayoutRules(),
    "dense": LayoutRules(single_rows=0, window_rows=0, dense_ratio=10**9, few_edges=0),
    "window": LayoutRules(single_rows=0, dense_ratio=0),
    "ragged": LayoutRules(single_rows=0, window_rows=0, dense_ratio=0, few_edges=0),
}


@pytest.mark.parametrize("rules", KINDS.values(), ids=KINDS)
def test_a_child_is_the_rows_with_its_code(rules: LayoutRules) -> None:
    counts = (5, 40, 1, 7)
    codes = random_codes(90, counts, "zipf", seed=0)
    codes = codes[np.lexsort(codes.T[::-1])]
    trie = TrieIndex.from_codes(codes, codes_per_level=counts, rules=rules).trie
    for level, stored in enumerate(trie.levels):
        nodes = [
            (rows[0], rows[-1] + 1)
            for _, group in itertools.groupby(range(len(codes)), lambda r: [*codes[r, :level]])  # noqa: B023
            if (rows := [*group])
        ]
        asked = [(*node, code) for node in nodes for code in range(counts[level])]
        lo, hi, code = (jnp.array(x, jnp.int32)[None] for x in zip(*asked, strict=True))
        edges, there = stored.child(lo, hi, code)
        bounds = np.stack(stored.rows_of(edges, lo, hi), axis=-1)[0]
        for found, begin_end, (first, last, wanted) in zip(there[0], bounds, asked, strict=True):
            below = [row for row in range(first, last) if codes[row, level] == wanted]
            assert bool(found) == bool(below)
            if below:
                assert begin_end.tolist() == [below[0], below[-1] + 1]
