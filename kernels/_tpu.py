"""What the TPU kernels share: looking numbers up in vector registers."""

import jax
import jax.numpy as jnp

LANES = 128
"""Lanes of a vector register."""

MOST_VMEM = 12 << 20
"""Bytes that a grid step may hold: the default limit is 16 MiB on the smallest chip."""


def look_up(group: jax.Array, code: jax.Array) -> jax.Array:
    """Return, for each row, the entries of one group of 128 at the codes' places in their groups.

    Codes of another group find some entry of this one. It is one instruction for a register of 8 by
    128, where a gather from memory would be a loop over elements.

    Args:
      group: [R, 128].
      code: int32 [R, 128].

    Returns:
      [R, 128].
    """
    return jnp.take_along_axis(group, code & (LANES - 1), axis=1, mode="promise_in_bounds")
