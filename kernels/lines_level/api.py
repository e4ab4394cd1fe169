"""A ragged level of a search, whose beams' children lie in lines of a table: the op and its checks."""

from typing import Any

import jax
import jax.numpy as jnp

from .._dispatch import KernelError, check_dtype, check_shapes, choose
from ..rows_level.layout import LANES, MOST_LEVELS, num_records
from . import reference
from .layout import LinesLayout

OP = "lines_level"


def lines_level(
    logits: jax.Array,
    state: jax.Array,
    limit: jax.Array,
    lines: jax.Array,
    cells: jax.Array,
    *,
    layout: LinesLayout,
    level: int,
    beams: int,
    implementation: str | None = None,
    interpret: Any = False,
) -> tuple[jax.Array, ...]:
    """Choose the best children of all beams, where a line or two of a table tell a beam's children.

    The score of a child is the beam's plus the log-softmax of its code's logit, ``base + (logit -
    logsumexp(logits))``. The M best are the next beams; of equal scores the lower beam comes first, then
    the lower code. Every item is allowed.

    Implementations: "xla"; "pallas_tpu", one kernel for the whole level, which copies the beams' lines
    from HBM, chooses without a sort, and then copies the lines that tell where the chosen children are. The sum in a logsumexp is taken in another order by each, so its
    last bit may differ.

    Args:
      logits: float32 or bfloat16 [B, M, V], or [B, 1, V] for all beams; may be NaN where there is no
        beam.
      state: int32 [B, R, 128], the records of the beams, see :mod:`genret_kernels.rows_level.layout`.
      limit: int32 [B], beams to keep of each request, at most M.
      lines: int32 [T, 128], which codes the children of nodes have.
      cells: int32 [T2, 128], where the children are.
      layout: the static facts of the lines.
      level: l, codes so far.
      beams: M.
      implementation: see above; None takes "xla".
      interpret: run the kernel in Pallas' interpreter; True or ``pltpu.InterpretParams``.

    Returns:
      The records of the children, int32 [B, R, 128], without codes of their rows: behind ``NODE`` they
      hold anything, for :func:`genret_kernels.load_rows.load_rows` to fill. Of each child, best first: its parent, its code, its number, its first row and the row after its last one (int32
      [B, M] each, 0 for padding), and its score (float32 [B, M], -inf for padding).

    Raises:
      KernelError: shapes, types, sizes or the implementation do not fit.

    >>> from genret_kernels.rows_level.layout import pack
    >>> zero = jnp.zeros((1, 1), jnp.int32)
    >>> state = pack(jnp.zeros((1, 1, 0), jnp.int32), jnp.zeros((1, 1)), zero, zero + 5,
    ...     jnp.zeros((1, 1), jnp.uint32), nodes=zero)
    >>> layout = LinesLayout(num_codes=3, wide=1, numbered=False)
    >>> lines = jnp.zeros((2, 128), jnp.int32)  # of wide nodes: there is none
    >>> lines = lines.at[1, :5].set(jnp.array([0, 0, 2, 2, 2]))  # five items: their codes
    >>> cells = jnp.zeros((1, 128), jnp.int32)
    >>> logits = jnp.log(jnp.array([[[0.25, 0.5, 0.25]]]))
    >>> _, _, codes, _, first, end, _ = lines_level(
    ...     logits, state, jnp.array([1]), lines, cells, layout=layout, level=0, beams=1)
    >>> codes.tolist(), first.tolist(), end.tolist()
    ([[0]], [[0]], [[2]])
    """
    chosen = choose(OP, implementation, ("xla", "pallas_tpu"))
    arrays = {"logits": logits, "state": state, "limit": limit, "lines": lines, "cells": cells}
    sizes = check_shapes(OP, "B N V, B R C, B, T C, T2 C", arrays)
    check_dtype(OP, "logits", logits, jnp.float32, jnp.bfloat16)
    for name in ("state", "limit", "lines", "cells"):
        check_dtype(OP, name, arrays[name], jnp.int32)
    if sizes["C"] != LANES or sizes["R"] != num_records(beams):
        expected = (num_records(beams), LANES)
        raise KernelError(f"{OP}: state: found {state.shape[1:]}, expected {expected}")
    if sizes["N"] not in (1, beams):
        raise KernelError(f"{OP}: logits: found {sizes['N']} beams, expected 1 or {beams}")
    if sizes["V"] < layout.num_codes:
        least = layout.num_codes
        raise KernelError(f"{OP}: logits: found {sizes['V']} codes, expected {least} or more")
    if not 0 <= level < MOST_LEVELS:
        raise KernelError(f"{OP}: level: found {level}, which the records have no room for")
    static: dict[str, Any] = {"layout": layout, "level": level, "beams": beams}
    if chosen == "pallas_tpu":
        from . import pallas_tpu  # Pallas is loaded when it is asked for

        return pallas_tpu.lines_level(*arrays.values(), **static, interpret=interpret)
    return reference.lines_level(*arrays.values(), **static)
