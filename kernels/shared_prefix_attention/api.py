"""Attention of beams over a shared history and their own codes: the public op and its checks."""

from typing import Any

import jax
import jax.numpy as jnp

from .._dispatch import KernelError, check_dtype, check_shapes, choose
from . import reference

OP = "shared_prefix_attention"


def shared_prefix_attention(
    queries: jax.Array,
    shared_keys: jax.Array,
    shared_values: jax.Array,
    shared_lengths: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    *,
    implementation: str | None = None,
    interpret: Any = False,
) -> jax.Array:
    r"""Attend over a history that all beams of a request share, and over each beam's own suffix.

    ``softmax(Q [K_shared; K_own]ᵀ / sqrt(D)) [V_shared; V_own]`` with one softmax over both parts
    and H / K query heads to a key head. The history is stored once a request and never repeated.

    Implementations: "xla", "pallas_tpu" and "pallas_gpu". The queries of all beams and query heads
    that meet one key head are the rows of one matrix, so the history's part is two matrix products;
    XLA writes the scores between them to HBM, float32 [B, H, M, T, S], which is many times the
    history itself when there are many beams. The kernels keep them on the chip (online softmax, as
    in FlashAttention), and skip what lies past a request's length. The beams' own part, a few
    positions each, stays with XLA; both parts join by their logsumexps. The GPU kernel is written
    for Triton, so any GPU of Ampere or later runs it; it needs D to be a power of two.

    The kernels read the history as [B, K, S, D]. Inside one program XLA lays the cache out that way
    when it is made; at the border of a program it is one transposition, a copy of the history.

    Args:
      queries: float32 or bfloat16 [B, M, T, H, D], of the T newest positions of each beam.
      shared_keys: [B, S, K, D], of the queries' type, like all keys and values. S may be 0.
      shared_values: [B, S, K, D].
      shared_lengths: int32 [B], how many of the S positions count, 0 to S. The values of the others
        must be finite for "xla", which multiplies them by 0; the kernels do not read them.
      keys: [B, M, P, K, D], of the beams' own positions, P >= T; the last T belong to the queries,
        which see those up to their own.
      values: [B, M, P, K, D].
      implementation: see above; None takes "xla", no kernel has been measured faster yet.
      interpret: run the kernel in Pallas' interpreter; True or, for TPU, ``pltpu.InterpretParams``.

    Returns:
      [B, M, T, H, D], the mixed values of each query.

    Raises:
      KernelError: shapes, types or the implementation do not fit.

    >>> one = jnp.ones((1, 1, 1, 1, 2))
    >>> shared = jnp.ones((1, 3, 1, 2))
    >>> lengths = jnp.array([3])
    >>> shared_prefix_attention(one, shared, 0 * shared, lengths, one, one).tolist()
    [[[[[0.25, 0.25]]]]]
    """
    chosen = choose(OP, implementation, ("xla", "pallas_tpu", "pallas_gpu"))
    arrays = {
        "queries": queries,
        "shared_keys": shared_keys,
        "shared_values": shared_values,
        "shared_lengths": shared_lengths,
        "keys": keys,
        "values": values,
    }
    sizes = check_shapes(OP, "B M T H D, B S K D, B S K D, B, B M P K D, B M P K D", arrays)
    check_dtype(OP, "queries", queries, jnp.float32, jnp.bfloat16)
    for name in ("shared_keys", "shared_values", "keys", "values"):
        check_dtype(OP, name, arrays[name], queries.dtype)
    check_dtype(OP, "shared_lengths", shared_lengths, jnp.int32)
    # No history is a history; no request is an empty answer, for which no kernel is needed.
    may_be_empty = "SB" if chosen == "xla" else "S"
    empty = [letter for letter, size in sizes.items() if size == 0 and letter not in may_be_empty]
    if empty:
        raise KernelError(f"{OP}: found {empty[0]}=0, expected 1 or more")
    if sizes["H"] % sizes["K"]:
        raise KernelError(
            f"{OP}: queries: found {sizes['H']} heads, expected a multiple of {sizes['K']}"
        )
    if sizes["P"] < sizes["T"]:
        raise KernelError(
            f"{OP}: keys: found {sizes['P']} own positions, expected {sizes['T']} or more"
        )
    if chosen == "pallas_tpu":
        from . import pallas_tpu  # Pallas is loaded when it is asked for

        return pallas_tpu.shared_prefix_attention(*arrays.values(), interpret=interpret)
    if chosen == "pallas_gpu":
        from . import pallas_gpu

        return pallas_gpu.shared_prefix_attention(*arrays.values(), interpret=interpret)
    return reference.shared_prefix_attention(*arrays.values())
