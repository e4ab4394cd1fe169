"""Histories as a model reads them, against plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret.errors import GenretError
from genret.histories import Histories
from genret.models import History


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=5),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
def test_from_items_equals_loops(histories, max_items, seed) -> None:
    table = np.random.default_rng(seed).integers(0, 50, (10, 3))
    found = History.from_items(table, Histories.from_lists(histories), max_items)
    assert found.codes.shape == (len(histories), max_items, 3)
    assert found.codes.dtype == found.lengths.dtype == jnp.int32
    for row, history in enumerate(histories):
        kept = history[-max_items:]
        assert found.lengths[row] == len(kept)
        np.testing.assert_array_equal(found.codes[row, : len(kept)], table[kept].reshape(-1, 3))
        assert not found.codes[row, len(kept) :].any()


def test_a_history_is_a_pytree() -> None:
    history = History.from_items([[1, 2]], [[0]], 3)
    assert [x.shape for x in jax.tree.leaves(history)] == [
        (1, 3, 2), (1,), (1, 3),
    ]  # fmt: skip
    shapes = jax.eval_shape(lambda h: h, history)
    assert shapes.lengths.shape == (1,)
    moved = jax.tree.map(lambda x: x + 1, history)
    assert isinstance(moved, History)


TABLE = [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((TABLE, [[0, 2]], 3), "items: entry 1 is 2, expected 0 to 1"),
        ((TABLE, [[-1, 0]], 3), "items: entry 0 is -1, expected 0 to 1"),
        ((TABLE, [[0]], 0), "max_items: found 0"),
        ((TABLE, [[0.5]], 3), r"items\[0\]: found float64 of shape"),
        (([[0, 1], [2]], [[0]], 3), "codes: found rows of unequal lengths"),
        (([0, 1], [[0]], 3), "codes: found int64 of shape"),
    ],
)
def test_bad_input_is_named(arguments, message) -> None:
    with pytest.raises(GenretError, match=message) as caught:
        History.from_items(*arguments)
    assert "\n" not in str(caught.value)
