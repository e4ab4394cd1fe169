"""What TPU kernels choose with, in Pallas' interpreter: against a sort in NumPy."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels._tpu_select import LOWEST, MANY, UNROLLED, ranked_together, thresholds
from hypothesis import given
from hypothesis import strategies as st
from jax.experimental import pallas as pl

EXTREMES = (LOWEST, LOWEST + 1, -1, 0, 1, 2**30, 2**31 - 1)
"""Keys at the edges of the bits that rounds find."""


@partial(jax.jit, static_argnums=1)
def found_in(keys: jax.Array, m: int) -> jax.Array:
    """Return the threshold of each matrix of [n, R, 128]."""

    def kernel(keys: Any, out: Any) -> None:
        own = thresholds([keys.at[q] for q in range(len(keys))], keys.shape[1], m)
        for q, each in enumerate(own):
            out[q] = each

    shape = jax.ShapeDtypeStruct((len(keys), 8, 128), jnp.int32)
    return pl.pallas_call(kernel, out_shape=shape, interpret=True)(keys)


@pytest.mark.parametrize(
    ("matrices", "rows", "m"),
    [
        (1, 8, 1),
        (MANY - 1, UNROLLED + 8, 70),
        (MANY, UNROLLED + 8, 70),
        pytest.param(MANY, 8, 70, marks=pytest.mark.slow),
    ],
)
def test_thresholds_are_the_mth_largest_keys(matrices: int, rows: int, m: int) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        keys = rng.integers(-(2**31), 2**31, (matrices, rows, 128)).astype(np.int32)
        if seed:
            some = rng.random(keys.shape) < (0.1, 0.9, 1.0)[seed - 1]
            keys = np.where(some, rng.choice(EXTREMES, keys.shape), keys).astype(np.int32)
        keys[0, :, 3:] = LOWEST  # fewer candidates than are asked for, or few more
        found = np.asarray(found_in(jnp.asarray(keys), m))
        wanted = -np.sort(-keys.reshape(matrices, -1).astype(np.int64), axis=1)[:, m - 1]
        np.testing.assert_array_equal(found, np.broadcast_to(wanted[:, None, None], found.shape))


@given(
    st.integers(1, 3),
    st.lists(st.sampled_from([-np.inf, -3e38, -2.0, -0.0, 0.0, 1e-30, 5.0]), min_size=48),
)
def test_few_columns_are_ranked_together(columns: int, values: list[float]) -> None:
    own = np.array(values[:48], np.float32).reshape(16, 3)[:, :columns]
    best, number = ranked_together([jnp.asarray(own[:, at : at + 1]) for at in range(columns)])
    order = np.argsort(-own.reshape(-1), kind="stable")[:16]
    np.testing.assert_array_equal(np.asarray(number)[:, 0], order)
    np.testing.assert_array_equal(np.asarray(best)[:, 0], own.reshape(-1)[order])
