"""The best candidates of all beams of a request, exactly and in one order on every backend."""

import jax.numpy as jnp
from genret_kernels.top_m import top_m

from genret.decoding._per_device import per_device
from genret.typing import Array, Float, Int


def top_candidates(
    scores: Float[Array, "B M K"], beams: int
) -> tuple[Float[Array, "B beams"], Int[Array, "B beams"], Int[Array, "B beams"]]:
    """Choose the best candidates of each request, over all of its beams.

    The order is by score, descending; equal scores by beam and then by slot, ascending.

    Args:
      scores: float32, -inf for no candidate; no NaN.
      beams: how many to choose; may exceed M * K.

    Returns:
      The scores (float32, -inf where there were fewer candidates), and the beam and the slot of
      each (int32; of a missing candidate: arbitrary, but in range).

    >>> scores = jnp.array([[[-1.0, -3.0], [-2.0, -1.0]]])
    >>> [x.tolist() for x in top_candidates(scores, 3)]
    [[[-1.0, -1.0, -2.0]], [[0, 1, 1]], [[0, 1, 0]]]
    """
    batch, num_beams, slots = scores.shape
    best, where = top_k(scores.reshape(batch, num_beams * slots), beams)
    return best, where // slots, where % slots


def top_k(values: Float[Array, "B K"], k: int) -> tuple[Float[Array, "B k"], Int[Array, "B k"]]:
    """Return the largest values of each row and where they are; equal ones by place, ascending.

    Args:
      values: float32 without NaN.
      k: how many; may exceed K: then -inf, at the last place.
    """
    size = values.shape[1]
    if size < k:
        values = jnp.pad(values, ((0, 0), (0, k - size)), constant_values=-jnp.inf)
    best, where = per_device(lambda rows, _: top_m(rows, k), values)
    return best, jnp.minimum(where, size - 1)
