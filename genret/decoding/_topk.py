"""The best candidates of all beams of a request, exactly and in one order on every backend."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

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
    flat = scores.reshape(batch, num_beams * slots)
    missing = max(0, beams - flat.shape[1])
    flat = jnp.pad(flat, ((0, 0), (0, missing)), constant_values=-jnp.inf)
    # Of equal values, top_k gives the one with the lower index first.
    best, where = _top_k_of_rows(flat, beams)
    where = jnp.minimum(where, num_beams * slots - 1)
    return best, where // slots, where % slots


# XLA does not split top_k over a sharded batch: it gathers the batch on every device first. Rows
# are independent of each other, so each device can do its own.
@functools.partial(custom_partitioning, static_argnums=(1,))
def _top_k_of_rows(values: Array, k: int) -> tuple[Array, Array]:
    best, where = jax.lax.top_k(values, k)
    return best, where


def _partition(k: int, mesh: Any, arguments: Any, _: Any) -> tuple[Any, Any, Any, Any]:
    spec = arguments[0].sharding.spec
    rows = NamedSharding(mesh, P(spec[0] if len(spec) else None, None))
    return mesh, lambda values: tuple(jax.lax.top_k(values, k)), (rows, rows), (rows,)


_top_k_of_rows.def_partition(
    partition=_partition,
    sharding_rule="b n -> b k, b k",
    need_replication_factors=("n", "k"),
)
