"""Scores of the children of each beam: the public op, its checks and its dispatch."""

from typing import Any

import jax
import jax.numpy as jnp

from .._dispatch import KernelError, check_dtype, check_shapes, choose
from . import reference

OP = "gather_candidates"


def gather_candidates(
    logits: jax.Array,
    edge_codes: jax.Array,
    begin: jax.Array,
    counts: jax.Array,
    base: jax.Array,
    normalizer: jax.Array,
    *,
    width: int,
    implementation: str | None = None,
    interpret: Any = False,
) -> tuple[jax.Array, jax.Array]:
    """Score the children of each beam, which are a run of a trie level's edges.

    Child k of a beam has the code ``c = edge_codes[begin + k]`` and the score
    ``base + (logits[c] - normalizer)``.

    Implementations: "xla", and "pallas_tpu". On a TPU a gather of single elements is a slow loop
    over them; the kernel reads each beam's run of edges as one copy and looks the logits up in
    vector registers, 128 codes at a time. It moves V logits a beam and does V / 128 look-ups for
    each 128 children, so it is meant for levels of a few thousand codes. There is no GPU kernel:
    XLA fuses both gathers and the arithmetic into one loop that reads only what it needs, and
    threads of a GPU gather at full speed, so a kernel would be the same program.

    Args:
      logits: float32 or bfloat16 [B, M, V]; may be NaN where no child points.
      edge_codes: uint16 or uint32 [E], the code of each edge of the level; all below V.
      begin: int32 [B, M], the first edge of each beam.
      counts: int32 [B, M], how many edges each beam has; 0: none, and the other numbers of the beam
        may be anything.
      base: float32 [B, M], scores of the beams.
      normalizer: float32 [B, M], what is subtracted from the logits.
      width: K, children to make room for.
      implementation: see above; None takes "xla", no kernel has been measured faster yet.
      interpret: run the kernel in Pallas' interpreter; True or ``pltpu.InterpretParams``.

    Returns:
      float32 [B, M, K], the scores, and int32 [B, M, K], the codes. At ``k >= counts`` they are
      -inf and -1. Edges past E read the last one. A score that would be NaN is -inf.

    Raises:
      KernelError: shapes, types or the implementation do not fit.

    >>> logits = jnp.log(jnp.array([[[0.5, 0.25, 0.25]]]))
    >>> edges = jnp.array([1, 0, 2, 2], jnp.uint16)
    >>> at = jnp.array([[1]])
    >>> zero = jnp.zeros((1, 1))
    >>> scores, codes = gather_candidates(logits, edges, at, at + 1, zero, zero, width=3)
    >>> codes.tolist(), jnp.exp(scores).tolist()
    ([[[0, 2, -1]]], [[[0.5, 0.25, 0.0]]])
    """
    chosen = choose(OP, implementation, ("xla", "pallas_tpu"))
    arrays = {
        "logits": logits,
        "edge_codes": edge_codes,
        "begin": begin,
        "counts": counts,
        "base": base,
        "normalizer": normalizer,
    }
    sizes = check_shapes(OP, "B M V, E, B M, B M, B M, B M", arrays)
    check_dtype(OP, "logits", logits, jnp.float32, jnp.bfloat16)
    check_dtype(OP, "edge_codes", edge_codes, jnp.uint16, jnp.uint32)
    for name in ("begin", "counts"):
        check_dtype(OP, name, arrays[name], jnp.int32)
    for name in ("base", "normalizer"):
        check_dtype(OP, name, arrays[name], jnp.float32)
    if width < 1:
        raise KernelError(f"{OP}: width: found {width}, expected 1 or more")
    empty = [letter for letter, size in sizes.items() if size == 0]
    if empty:
        raise KernelError(f"{OP}: found {empty[0]}=0, expected 1 or more")
    if chosen == "pallas_tpu":
        from . import pallas_tpu  # Pallas is loaded when it is asked for

        return pallas_tpu.gather_candidates(*arrays.values(), width=width, interpret=interpret)
    return reference.gather_candidates(*arrays.values(), width=width)
