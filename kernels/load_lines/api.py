"""Whole lines of a table: the public op and its checks."""

from typing import Any

import jax
import jax.numpy as jnp

from .._dispatch import KernelError, check_dtype, check_shapes, choose
from . import reference

OP = "load_lines"


def load_lines(
    table: jax.Array,
    which: jax.Array,
    *,
    implementation: str | None = None,
    interpret: Any = False,
) -> jax.Array:
    """Return some lines of a table.

    Implementations: "xla", a gather, and "pallas_tpu", which copies all lines from HBM at the same
    time: XLA's gather takes some 190 cycles a line where the table is too large to be held in VMEM,
    and issuing a copy takes 6.

    Args:
      table: int32 [T, 128].
      which: int32 [N]; those out of range find the first line or the last one.
      implementation: see above; None takes "xla".
      interpret: run the kernel in Pallas' interpreter; True or ``pltpu.InterpretParams``.

    Returns:
      int32 [N, 128].

    Raises:
      KernelError: shapes, types, sizes or the implementation do not fit.

    >>> table = jnp.arange(3 * 128, dtype=jnp.int32).reshape(3, 128)
    >>> load_lines(table, jnp.array([2, 0]))[:, 0].tolist()
    [256, 0]
    """
    chosen = choose(OP, implementation, ("xla", "pallas_tpu"))
    sizes = check_shapes(OP, "T C, N", {"table": table, "which": which})
    check_dtype(OP, "table", table, jnp.int32)
    check_dtype(OP, "which", which, jnp.int32)
    if sizes["C"] != 128 or sizes["T"] < 1:
        raise KernelError(f"{OP}: table: found shape {table.shape}, expected [1 or more, 128]")
    if chosen == "pallas_tpu":
        from . import pallas_tpu  # Pallas is loaded when it is asked for

        return pallas_tpu.load_lines(table, which, interpret=interpret)
    return reference.load_lines(table, which)
