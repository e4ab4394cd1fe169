"""The codes of the items below beams: the kernel against the reference, and what is refused.

The reference is held against the codes of a trie, see ``tests/index/test_accelerated.py``.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels import KernelError
from genret_kernels.load_rows import load_rows
from genret_kernels.rows_level import layout


def drawn(seed: int, batch: int, records: int, lines: int, pairs: int) -> tuple[jax.Array, ...]:
    """Draw a table without two equal words, and records with something in every lane."""
    rng = np.random.default_rng(seed)
    table = rng.permutation(lines * layout.LANES).astype(np.int32).reshape(lines, layout.LANES)
    state = rng.integers(-(2**31), 2**31, (batch, records, layout.LANES)).astype(np.int32)
    rows = (lines - 1) * layout.rows_of_line(pairs)  # the last line has no line behind it
    lo = rng.integers(0, rows, (batch, records))
    lo[:, 0], lo[:, 1] = 0, rows - 1
    state[..., layout.LO] = lo
    return jnp.asarray(table), jnp.asarray(state)


@pytest.mark.parametrize(
    ("batch", "records", "lines", "pairs", "stride"),
    [
        (2, 16, 40, 3, 8),
        (1, 8, 2, 1, 32),
        pytest.param(3, 8, 9, 12, 8, marks=pytest.mark.slow),
        pytest.param(1, 72, 300, 2, 1, marks=pytest.mark.slow),
        pytest.param(30, 40, 100, 5, 4, marks=pytest.mark.slow),  # two steps of the grid
    ],
)
def test_kernel_is_the_reference(
    batch: int, records: int, lines: int, pairs: int, stride: int
) -> None:
    run = partial(load_rows, pairs=pairs, stride=stride)
    arrays = drawn(0, batch, records, lines, pairs)
    found = jax.jit(partial(run, implementation="pallas_tpu", interpret=True))(*arrays)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(run(*arrays)))


def test_what_does_not_fit_is_refused() -> None:
    table, state = drawn(0, 1, 8, 3, 2)
    with pytest.raises(KernelError, match="table: found shape"):
        load_rows(table[:1], state, pairs=2, stride=4)
    with pytest.raises(KernelError, match="state: found 5 records"):
        load_rows(table, state[:, :5], pairs=2, stride=4)
    with pytest.raises(KernelError, match="stride: found 64 rows of 2 words"):
        load_rows(table, state, pairs=2, stride=64)
    with pytest.raises(KernelError, match="stride: found 3 rows"):
        load_rows(table, state, pairs=2, stride=3)
