"""Choosing the best of few numbers as the references do: one sort."""

import jax
import jax.numpy as jnp


def best_of(values: jax.Array, numbers: jax.Array, m: int) -> tuple[jax.Array, jax.Array]:
    """Return the m best values of each row and their numbers; of equal ones the lower number first.

    The number is a key of the sort, so the numbers of a row may lie in any order.

    Args:
      values: float32 [B, N], without NaN.
      numbers: int32 [B or 1, N], different in a row.
      m: how many, at most N.

    Returns:
      float32 and int32 [B, m].

    >>> best_of(jnp.array([[1.0, 3.0, 3.0]]), jnp.array([[7, 9, 8]]), 2)[1].tolist()
    [[8, 9]]
    """
    numbers = jnp.broadcast_to(numbers, values.shape)
    keys, order = jax.lax.sort((-values, numbers), dimension=1, num_keys=2, is_stable=False)
    return -keys[:, :m], order[:, :m]
