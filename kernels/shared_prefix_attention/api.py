"""Attention of beams over a shared history and their own paths: the public op and its checks."""

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
    earlier_keys: jax.Array,
    earlier_values: jax.Array,
    paths: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    *,
    implementation: str | None = None,
    interpret: Any = False,
) -> jax.Array:
    r"""Attend over a history that all beams of a request share, and over each beam's own positions.

    ``softmax(Q [K_shared; K_path; K_own]ᵀ / sqrt(D)) [V_shared; V_path; V_own]`` with one softmax over
    all parts and H / K query heads to a key head. The history is stored once a request and never
    repeated, and so is each of the E earlier positions of its beams: a beam's path says which of them
    are its own, so no key moves when beams are chosen anew.

    Implementations: "xla", "pallas_tpu" and "pallas_gpu". The queries of all beams and query heads
    that meet one key head are the rows of one matrix, so the history's part is two matrix products;
    XLA writes the scores between them to HBM, float32 [B, H, M, T, S], which is many times the
    history itself when there are many beams. The kernels keep them on the chip (online softmax, as
    in FlashAttention), and skip what lies past a request's length. The beams' own part, a few
    positions each, stays with XLA; both parts join by their logsumexps. The GPU kernel is written
    for Triton, so any GPU of Ampere or later runs it; it needs D to be a power of two.

    With one new position (T = 1) XLA on a TPU treats the earlier positions as more history, masked by
    the paths: two more matrix products in the place of gathers, each of which costs more there.
    Elsewhere the positions of each path are gathered.

    The kernels read the history as [B, K, S, D]. Inside one program XLA lays the cache out that way
    when it is made; at the border of a program it is one transposition, a copy of the history.

    Args:
      queries: float32 or bfloat16 [B, M, T, H, D], of the T newest positions of each beam.
      shared_keys: [B, S, K, D], of the queries' type, like all keys and values. S may be 0.
      shared_values: [B, S, K, D].
      shared_lengths: int32 [B], how many of the S positions count, 0 to S. The values of the others
        must be finite for "xla", which multiplies them by 0; the kernels do not read them.
      earlier_keys: [B, E, K, D], of earlier positions of any beam of the request; finite. E may be 0.
      earlier_values: [B, E, K, D].
      paths: int32 [B, M, P], which of the E positions come before the new ones of each beam, each
        position at most once. P may be 0.
      keys: [B, M, T, K, D], of the new positions of each beam; each sees those up to itself.
      values: [B, M, T, K, D].
      implementation: see above; None takes "xla", no kernel has been measured faster yet.
      interpret: run the kernel in Pallas' interpreter; True or, for TPU, ``pltpu.InterpretParams``.

    Returns:
      [B, M, T, H, D], the mixed values of each query.

    Raises:
      KernelError: shapes, types or the implementation do not fit.

    >>> one = jnp.ones((1, 1, 1, 1, 2))
    >>> shared = jnp.ones((1, 3, 1, 2))
    >>> lengths = jnp.array([3])
    >>> earlier, path = jnp.ones((1, 9, 1, 2)), jnp.array([[[7]]])  # a beam that has one of nine
    >>> shared_prefix_attention(
    ...     one, shared, 0 * shared, lengths, earlier, earlier, path, one, one
    ... ).round(3).tolist()
    [[[[[0.4000000059604645, 0.4000000059604645]]]]]
    """
    chosen = choose(OP, implementation, ("xla", "pallas_tpu", "pallas_gpu"))
    arrays = {
        "queries": queries,
        "shared_keys": shared_keys,
        "shared_values": shared_values,
        "shared_lengths": shared_lengths,
        "earlier_keys": earlier_keys,
        "earlier_values": earlier_values,
        "paths": paths,
        "keys": keys,
        "values": values,
    }
    shapes = "B M T H D, B S K D, B S K D, B, B E K D, B E K D, B M P, B M T K D, B M T K D"
    sizes = check_shapes(OP, shapes, arrays)
    check_dtype(OP, "queries", queries, jnp.float32, jnp.bfloat16)
    for name in arrays:
        if name.endswith(("keys", "values")):
            check_dtype(OP, name, arrays[name], queries.dtype)
    check_dtype(OP, "shared_lengths", shared_lengths, jnp.int32)
    check_dtype(OP, "paths", paths, jnp.int32)
    # No history is a history; no request is an empty answer, for which no kernel is needed.
    may_be_empty = "SEPB" if chosen == "xla" else "SEP"
    empty = [letter for letter, size in sizes.items() if size == 0 and letter not in may_be_empty]
    if empty:
        raise KernelError(f"{OP}: found {empty[0]}=0, expected 1 or more")
    if sizes["H"] % sizes["K"]:
        raise KernelError(
            f"{OP}: queries: found {sizes['H']} heads, expected a multiple of {sizes['K']}"
        )
    if sizes["P"] > sizes["E"]:
        raise KernelError(
            f"{OP}: paths: found {sizes['P']} positions of a beam, expected at most E={sizes['E']}"
        )
    if chosen == "pallas_tpu":
        from . import pallas_tpu  # Pallas is loaded when it is asked for

        return pallas_tpu.shared_prefix_attention(*arrays.values(), interpret=interpret)
    if chosen == "pallas_gpu":
        from . import pallas_gpu

        return pallas_gpu.shared_prefix_attention(*arrays.values(), interpret=interpret)
    return reference.shared_prefix_attention(*arrays.values())
