"""The popularity baseline against sorting in plain Python."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genret.evaluation import popular_items
from genret.evaluation.popularity import item_counts
from genret.histories import Histories

COUNTS = st.lists(st.integers(0, 4), min_size=1, max_size=9)


@given(COUNTS, st.data(), st.integers(1, 12), st.booleans(), st.sampled_from([1, 8, 1 << 22]))
def test_equals_the_slow_twin(counts, data, k, exclude_seen, cells) -> None:
    item = st.integers(0, len(counts) - 1)
    histories = data.draw(st.lists(st.lists(item, max_size=7), max_size=5))
    asked = Histories.from_lists(histories)
    found = popular_items(np.array(counts), asked, k=k, exclude_seen=exclude_seen, cells=cells)
    ordered = sorted(range(len(counts)), key=lambda i: (-counts[i], i))
    for own, row in zip(histories, found.tolist(), strict=True):
        expected = [i for i in ordered if not (exclude_seen and i in own)][:k]
        assert row == expected + [-1] * (k - len(expected))


def test_counts_items_that_never_occur() -> None:
    assert item_counts(np.array([], np.int32), 3).tolist() == [0, 0, 0]
    assert item_counts(np.array([2, 0, 2], np.int32), 4).tolist() == [1, 0, 2, 0]
