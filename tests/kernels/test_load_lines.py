"""Whole lines of a table: the kernel against the reference, and what is refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels import KernelError
from genret_kernels.load_lines import load_lines
from hypothesis import given, settings
from hypothesis import strategies as st

TABLE = jnp.asarray(np.random.default_rng(0).permutation(9 * 128).astype(np.int32).reshape(9, 128))


@settings(max_examples=10)
@given(st.lists(st.integers(-3, 12), min_size=11, max_size=11))
def test_kernel_is_the_reference(which: list[int]) -> None:
    run = jax.jit(partial(load_lines, implementation="pallas_tpu", interpret=True))
    lines = jnp.array(which, jnp.int32)
    expected = np.asarray(TABLE)[np.clip(which, 0, 8)]
    np.testing.assert_array_equal(run(TABLE, lines), expected)
    np.testing.assert_array_equal(
        load_lines(TABLE, jnp.maximum(lines, 0)), TABLE[np.clip(which, 0, 8)]
    )


@pytest.mark.slow
def test_steps_of_the_grid() -> None:
    which = jnp.asarray(np.random.default_rng(1).integers(0, 9, 2501).astype(np.int32))
    found = load_lines(TABLE, which, implementation="pallas_tpu", interpret=True)
    np.testing.assert_array_equal(found, load_lines(TABLE, which))


def test_what_does_not_fit_is_refused() -> None:
    which = jnp.zeros(1, jnp.int32)
    with pytest.raises(KernelError, match="table: found shape"):
        load_lines(TABLE[:, :64], which)
    with pytest.raises(KernelError, match="which: found float32"):
        load_lines(TABLE, which.astype(jnp.float32))
    with pytest.raises(KernelError, match="lines to read with 'pallas_tpu': found 65537"):
        load_lines(TABLE, jnp.zeros(65_537, jnp.int32), implementation="pallas_tpu")
