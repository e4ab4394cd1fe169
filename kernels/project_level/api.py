"""Logits of some codes of a level and the normalizer of all: the public op and its checks."""

from typing import Any

import jax
import jax.numpy as jnp

from .._dispatch import KernelError, check_dtype, check_shapes, choose
from . import reference

OP = "project_level"


def project_level(
    hidden: jax.Array,
    table: jax.Array,
    codes: jax.Array,
    *,
    implementation: str | None = None,
    interpret: Any = False,
) -> tuple[jax.Array, jax.Array]:
    """Return the logits of some codes of each beam, and the logsumexp over all codes of the level.

    The logits are ``hidden @ table.T``, [B, M, V], but never all of them are in memory.

    Implementations: "xla", "pallas_tpu" and "pallas_gpu". "xla" takes as many beams at a time as
    have 2**20 logits together, in a loop. The TPU kernel makes a block of logits in vector memory,
    adds it to the logsumexp and looks the asked codes up there, 128 at a time: each 128 codes of a
    beam cost V / 128 look-ups, so it is meant for nodes with few children. The GPU kernel finds the
    logsumexp the same way (Triton has no gather from registers); the asked logits are products of a
    beam's hidden state and the rows of the table, which XLA gathers, multiplies and adds in one
    loop: K * D products a beam on top of V * D.

    Args:
      hidden: float32 or bfloat16 [B, M, D], hidden states of the beams.
      table: [V, D], of the same type: the output embedding of the level's codes.
      codes: int32 [B, M, K], codes below V; -1: none.
      implementation: see above; None takes "xla", no kernel has been measured faster yet.
      interpret: run the kernel in Pallas' interpreter; True or, for TPU, ``pltpu.InterpretParams``.

    Returns:
      float32 [B, M, K], the logits (-inf for the code -1), and float32 [B, M], the logsumexp.

    Raises:
      KernelError: shapes, types or the implementation do not fit.

    >>> codes = jnp.array([[[1, -1]]])
    >>> logits, logsumexp = project_level(jnp.ones((1, 1, 2)), jnp.eye(2), codes)
    >>> logits.tolist(), jnp.exp(logits - logsumexp[..., None]).tolist()
    ([[[1.0, -inf]]], [[[0.5, 0.0]]])
    """
    chosen = choose(OP, implementation, ("xla", "pallas_tpu", "pallas_gpu"))
    arrays = {"hidden": hidden, "table": table, "codes": codes}
    sizes = check_shapes(OP, "B M D, V D, B M K", arrays)
    check_dtype(OP, "hidden", hidden, jnp.float32, jnp.bfloat16)
    check_dtype(OP, "table", table, hidden.dtype)
    check_dtype(OP, "codes", codes, jnp.int32)
    empty = [letter for letter, size in sizes.items() if size == 0]
    if empty:
        raise KernelError(f"{OP}: found {empty[0]}=0, expected 1 or more")
    if chosen == "pallas_tpu":
        from . import pallas_tpu  # Pallas is loaded when it is asked for

        return pallas_tpu.project_level(hidden, table, codes, interpret=interpret)
    if chosen == "pallas_gpu":
        from . import pallas_gpu

        return pallas_gpu.project_level(hidden, table, codes, interpret=interpret)
    return reference.project_level(hidden, table, codes)
