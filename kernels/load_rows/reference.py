"""The op in plain JAX."""

import jax
import jax.numpy as jnp

from ..rows_level.layout import DATA, LANES, LO


def load_rows(
    table: jax.Array, state: jax.Array, *, pairs: int, stride: int, step: int, held: int
) -> jax.Array:
    """Fill the records of beams; see :func:`genret_kernels.load_rows.api.load_rows`."""
    lane = jax.lax.broadcasted_iota(jnp.int32, state.shape, 2)
    word = jnp.maximum(lane - DATA, 0)
    row = state[..., LO, None] + word % stride
    # The rows of a beam are in one line, where lines overlap.
    line = (row if held == step else state[..., LO, None]) // step
    # One number for line and lane: a GPU then gathers in the kernel that makes the records.
    at = line * LANES + word // stride * held + row - line * step
    found = table.reshape(-1).at[at].get(mode="clip")
    return jnp.where((lane >= DATA) & (lane < DATA + pairs * stride), found, state)
