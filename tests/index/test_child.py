"""The child of a node along a code, in every kind of level, against a look at its rows."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret.index import TrieIndex
from genret.index.layout import LayoutRules

KINDS = {
    "auto": LayoutRules(),
    "dense": LayoutRules(single_rows=0, window_rows=0, dense_ratio=10**9, few_edges=0),
    "window": LayoutRules(single_rows=0, dense_ratio=0),
    "ragged": LayoutRules(single_rows=0, window_rows=0, dense_ratio=0, few_edges=0),
}


@pytest.mark.parametrize("rules", KINDS.values(), ids=KINDS)
@given(
    rows=st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=40, unique=True),
    room=st.sampled_from([(5, 5, 5), (5, 40, 5)]),
)
def test_a_child_is_the_rows_with_its_code(
    rules: LayoutRules, rows: list[tuple[int, ...]], room: tuple[int, ...]
) -> None:
    codes = np.array(sorted(rows))
    trie = TrieIndex.from_codes(codes, codes_per_level=room, rules=rules).trie
    for level, stored in enumerate(trie.levels):
        nodes = [
            [found[0], found[-1] + 1]
            for _, group in itertools.groupby(range(len(codes)), key=lambda r: [*codes[r, :level]])
            if (found := [*group])
        ]
        asked = [(lo, hi, code) for lo, hi in nodes for code in range(room[level])]
        lo, hi, code = (jnp.array(x, jnp.int32)[None] for x in zip(*asked, strict=True))
        edges, there = stored.child(lo, hi, code)
        begin, end = stored.rows_of(edges, lo, hi)
        for i, (first, last, wanted) in enumerate(asked):
            below = [r for r in range(first, last) if codes[r, level] == wanted]
            assert bool(there[0, i]) == bool(below)
            if below:
                assert (int(begin[0, i]), int(end[0, i])) == (below[0], below[-1] + 1)
