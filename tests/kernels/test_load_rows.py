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


def drawn(
    seed: int, batch: int, records: int, lines: int, pairs: int, step: int
) -> tuple[jax.Array, ...]:
    """Draw a table without two equal words, and records with something in every lane."""
    rng = np.random.default_rng(seed)
    table = rng.permutation(lines * layout.LANES).astype(np.int32).reshape(lines, layout.LANES)
    state = rng.integers(-(2**31), 2**31, (batch, records, layout.LANES)).astype(np.int32)
    rows = (lines - 1) * step  # the last line has no line behind it
    lo = rng.integers(0, rows, (batch, records))
    lo[:, 0], lo[:, 1] = 0, rows - 1
    state[..., layout.LO] = lo
    return jnp.asarray(table), jnp.asarray(state)


@pytest.mark.parametrize(
    ("batch", "records", "lines", "pairs", "stride", "step", "held"),
    [
        (2, 16, 40, 3, 8, 32, 32),
        (2, 16, 40, 3, 8, 32, 42),
        (1, 8, 2, 1, 32, 128, 128),
        (1, 8, 3, 1, 32, 64, 128),
        pytest.param(3, 8, 9, 12, 8, 8, 8, marks=pytest.mark.slow),
        pytest.param(3, 8, 9, 12, 8, 2, 10, marks=pytest.mark.slow),
        pytest.param(1, 72, 300, 2, 1, 64, 64, marks=pytest.mark.slow),
        # Two steps of the grid.
        pytest.param(30, 40, 100, 5, 4, 16, 16, marks=pytest.mark.slow),
        pytest.param(30, 40, 100, 5, 4, 16, 25, marks=pytest.mark.slow),
    ],
)
def test_kernel_is_the_reference(
    batch: int, records: int, lines: int, pairs: int, stride: int, step: int, held: int
) -> None:
    run = partial(load_rows, pairs=pairs, stride=stride, step=step, held=held)
    arrays = drawn(0, batch, records, lines, pairs, step)
    found = jax.jit(partial(run, implementation="pallas_tpu", interpret=True))(*arrays)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(run(*arrays)))


def test_what_does_not_fit_is_refused() -> None:
    table, state = drawn(0, 1, 8, 3, 2, 64)
    run = partial(load_rows, pairs=2, stride=4, step=64, held=64)
    with pytest.raises(KernelError, match="table: found shape"):
        run(table[:1], state)
    with pytest.raises(KernelError, match="state: found 5 records"):
        run(table, state[:, :5])
    with pytest.raises(KernelError, match="stride: found 64 rows of 2 words"):
        run(table, state, stride=64)
    with pytest.raises(KernelError, match="stride: found 3 rows"):
        run(table, state, stride=3)
    for step, held in ((64, 65), (48, 48), (32, 34), (64, 32), (2, 2)):
        with pytest.raises(
            KernelError, match=f"held: found lines of {held} rows every {step} rows"
        ):
            run(table, state, step=step, held=held)
