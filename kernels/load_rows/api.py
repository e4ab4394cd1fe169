"""The codes of the items below each beam, read from a table into the beams' records: the public op."""

from typing import Any

import jax
import jax.numpy as jnp

from .._dispatch import KernelError, check_dtype, check_shapes, choose
from ..rows_level import layout
from . import reference

OP = "load_rows"


def load_rows(
    table: jax.Array,
    state: jax.Array,
    *,
    pairs: int,
    stride: int,
    step: int,
    held: int,
    implementation: str | None = None,
    interpret: Any = False,
) -> jax.Array:
    """Fill the records of beams with the codes of ``stride`` rows from their first row on.

    Line i of the table holds the codes of H rows, from row ``i S`` on: word p of its row r, which are
    the codes of two levels, is lane ``p H + r``. Lines either follow each other, H = S, or overlap so far
    that ``stride`` rows from any of the first S on are in the line. What a record holds of the rows
    behind those of its beam is never looked at.

    Implementations: "xla", an element-wise gather, and "pallas_tpu", which copies whole lines from
    HBM, one a beam where lines overlap and else two, and shifts them into place in vector registers.

    Args:
      table: int32 [T, 128], at least one line more than the last beam's row is in.
      state: int32 [B, R, 128], the records; their first row is in lane ``LO``, and all fields but
        the codes of the rows are kept. See :mod:`genret_kernels.rows_level.layout`.
      pairs: P, words of a row.
      stride: rows to read, a power of two.
      step: S, a power of two.
      held: H.
      implementation: see above; None takes "xla".
      interpret: run the kernel in Pallas' interpreter; True or ``pltpu.InterpretParams``.

    Returns:
      int32 [B, R, 128].

    Raises:
      KernelError: shapes, types, sizes or the implementation do not fit.

    >>> table = jnp.arange(2 * 128, dtype=jnp.int32).reshape(2, 128)  # of one word a row
    >>> state = jnp.zeros((1, 8, 128), jnp.int32).at[..., layout.LO].set(127)
    >>> found = load_rows(table, state, pairs=1, stride=2, step=128, held=128)
    >>> found[0, 0, layout.DATA : layout.DATA + 3].tolist()
    [127, 128, 0]
    """
    chosen = choose(OP, implementation, ("xla", "pallas_tpu"))
    sizes = check_shapes(OP, "T C, B R C", {"table": table, "state": state})
    check_dtype(OP, "table", table, jnp.int32)
    check_dtype(OP, "state", state, jnp.int32)
    if sizes["C"] != layout.LANES or sizes["T"] < 2:
        raise KernelError(f"{OP}: table: found shape {table.shape}, expected [2 or more, 128]")
    if sizes["R"] % 8:
        raise KernelError(f"{OP}: state: found {sizes['R']} records, expected a multiple of 8")
    if stride & (stride - 1) or pairs < 1 or stride * pairs > layout.LANES - layout.DATA:
        raise KernelError(
            f"{OP}: stride: found {stride} rows of {pairs} words, expected a power of two and at "
            f"most {layout.LANES - layout.DATA} words"
        )
    follow = held == step >= stride
    if (
        step & (step - 1)
        or held * pairs > layout.LANES
        or not (follow or held >= step + stride - 1)
    ):
        raise KernelError(
            f"{OP}: held: found lines of {held} rows every {step} rows, expected a power of two, and "
            f"{held} or at least {step + stride - 1} rows of {pairs} words in {layout.LANES}"
        )
    static = {"pairs": pairs, "stride": stride, "step": step, "held": held}
    if chosen == "pallas_tpu":
        from . import pallas_tpu  # Pallas is loaded when it is asked for

        return pallas_tpu.load_rows(table, state, **static, interpret=interpret)
    return reference.load_rows(table, state, **static)
