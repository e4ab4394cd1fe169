"""Binary search in rows that are in order: as :func:`jax.numpy.searchsorted`, for compilers.

That one carries two bounds, of which each step makes two new ones out of both: unrolled, the ways from
the first step to the last double and double again, and XLA's compiler for CPUs (from jaxlib 0.12 on) walks
every one of them, for minutes or for ever. Here one bound is carried, and a step adds to it.
"""

import jax.numpy as jnp

from genret.typing import Array, Int


def count_before(
    ascending: Int[Array, "B K"], asked: Int[Array, "*#B S"], *, equal: bool = False
) -> Int[Array, "B S"]:
    """Return how many values of a row are less than each that is asked for.

    Args:
      ascending: int32, each row in order; K may be 0.
      asked: int32, values for each row, or the same for all.
      equal: whether values that are equal count too.

    Returns:
      int32 counts, 0 to K.

    >>> count_before(jnp.array([[2, 5, 5, 9]]), jnp.array([[1, 5, 10]])).tolist()
    [[0, 1, 4]]
    >>> count_before(jnp.array([[2, 5, 5, 9]]), jnp.array([[1, 5, 10]]), equal=True).tolist()
    [[0, 3, 4]]
    """
    compare = jnp.less_equal if equal else jnp.less
    asked = jnp.broadcast_to(asked, (ascending.shape[0], asked.shape[-1]))
    count = jnp.zeros_like(asked)
    left = ascending.shape[1]  # values that the count may still rise by
    while left:
        step = (left + 1) // 2
        value = jnp.take_along_axis(ascending, count + (step - 1), axis=1, mode="clip")
        count += jnp.where(compare(value, asked), step, 0)
        left -= step
    return count
