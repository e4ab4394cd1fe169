"""The shape of the trie of codes, against a dictionary of prefixes."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genret.tokenizers.shape import code_shape


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**31 - 2), st.integers(0, 1)), min_size=1)
)
def test_the_shape_is_that_of_the_prefixes(rows: list[tuple[int, int, int]]) -> None:
    shape = code_shape(rows)
    for level in range(3):
        prefixes = {row[: level + 1] for row in rows}
        children = Counter(prefix[:-1] for prefix in prefixes)
        found = shape["levels"][level]
        assert found["nodes"] == len(prefixes)
        assert found["children"] == np.mean(list(children.values()))
        assert found["most_children"] == max(children.values())
        assert found["one_child"] == np.mean([c == 1 for c in children.values()])
    leaves = Counter(rows)
    assert shape["leaves"] == len(leaves)
    assert shape["leaf_sizes"] == dict(sorted(Counter(leaves.values()).items()))
    assert shape["shared"] == sum(c for c in leaves.values() if c > 1)
