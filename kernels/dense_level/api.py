"""One level of a search in which every code of every beam may be a child: the op and its checks."""

from typing import Any

import jax
import jax.numpy as jnp

from .._dispatch import KernelError, check_dtype, check_shapes, choose
from . import reference

OP = "dense_level"


def dense_level(
    logits: jax.Array,
    words: jax.Array,
    base: jax.Array,
    *,
    beams: int,
    implementation: str | None = None,
    interpret: Any = False,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Choose the best codes of all beams, among those whose bits are set.

    The score of code c of a beam is ``base + (logits[c] - logsumexp(logits))``. The best of all
    beams of a request are returned; of equal scores the lower beam comes first, then the lower code.

    Implementations: "xla"; "pallas_tpu", one kernel that reads the logits once; "pallas_gpu", three
    kernels without a sort. All take the maxima of groups of 128 codes, find the groups that hold the
    best codes, and choose among the codes of these. The sum in a logsumexp is taken in another
    order by each, so its last bit may differ.

    Args:
      logits: float32 or bfloat16 [B, M, V], or [B, 1, V] for all beams; may be NaN where there is no
        beam.
      words: uint32 [B, M, W]; bit c % 32 of word c // 32 says whether code c may be chosen.
      base: float32 [B, M], scores of the beams.
      beams: K, how many to choose.
      implementation: see above; None takes "xla".
      interpret: run the kernel in Pallas' interpreter; True or ``pltpu.InterpretParams``.

    Returns:
      Of each, best first: its score, float32 [B, K], -inf for padding; its beam and its code, int32
      [B, K], 0 for padding.

    Raises:
      KernelError: shapes, types, sizes or the implementation do not fit.

    >>> logits = jnp.log(jnp.array([[[0.5, 0.25, 0.25]]]))
    >>> words = jnp.array([[[0b110]]], jnp.uint32)
    >>> scores, parents, codes = dense_level(logits, words, jnp.zeros((1, 1)), beams=3)
    >>> codes.tolist(), jnp.exp(scores).tolist()
    ([[1, 2, 0]], [[0.25, 0.25, 0.0]])
    """
    chosen = choose(OP, implementation, ("xla", "pallas_tpu", "pallas_gpu"))
    arrays = {"logits": logits, "words": words, "base": base}
    sizes = check_shapes(OP, "B N V, B M W, B M", arrays)
    check_dtype(OP, "logits", logits, jnp.float32, jnp.bfloat16)
    check_dtype(OP, "words", words, jnp.uint32)
    check_dtype(OP, "base", base, jnp.float32)
    if sizes["N"] not in (1, sizes["M"]):
        raise KernelError(f"{OP}: logits: found {sizes['N']} beams, expected 1 or {sizes['M']}")
    if beams < 1:
        raise KernelError(f"{OP}: beams: found {beams}, expected 1 or more")
    if chosen == "pallas_tpu":
        from . import pallas_tpu  # Pallas is loaded when it is asked for

        return pallas_tpu.dense_level(*arrays.values(), beams=beams, interpret=interpret)
    if chosen == "pallas_gpu":
        from . import pallas_gpu

        return pallas_gpu.dense_level(*arrays.values(), beams=beams, interpret=interpret)
    return reference.dense_level(*arrays.values(), beams=beams)
