"""The op on a GPU (Triton): the logsumexp over all codes without their logits in memory."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from .._triton import LEAST
from .._triton import triton as plgpu

BEAMS = 64
"""Most beams of a program."""

CODES = 128
"""Codes of a program."""

WIDTH = 64
"""Columns of the hidden states that a program takes at a time."""


def project_level(
    hidden: jax.Array, table: jax.Array, codes: jax.Array, *, interpret: Any
) -> tuple[jax.Array, jax.Array]:
    """Project some codes of each beam; see :func:`genret_kernels.project_level.api`."""
    batch, beams, width = hidden.shape
    logsumexp = logsumexp_of(hidden.reshape(-1, width), table, interpret=interpret)

    # A sum of products, not an einsum: XLA fuses the gather into it and stores no rows.
    rows = table.at[jnp.maximum(codes, 0)].get(mode="clip").astype(jnp.float32)
    logits = (rows * hidden[:, :, None].astype(jnp.float32)).sum(axis=-1)
    return jnp.where(codes >= 0, logits, -jnp.inf), logsumexp.reshape(batch, beams)


def logsumexp_of(hidden: jax.Array, table: jax.Array, *, interpret: Any) -> jax.Array:
    """Return the logsumexp of ``hidden @ table.T`` over the codes.

    Args:
      hidden: [N, D].
      table: [V, D].
      interpret: see the op.

    Returns:
      float32 [N].
    """
    rows, width = hidden.shape
    num_codes = table.shape[0]
    block = min(BEAMS, max(LEAST, pl.next_power_of_2(rows)))
    padded = pl.cdiv(width, WIDTH) * WIDTH
    parts = pl.pallas_call(
        functools.partial(_kernel, rows=rows, num_codes=num_codes, width=width),
        out_shape=jax.ShapeDtypeStruct((pl.cdiv(num_codes, CODES), rows), jnp.float32),
        grid=(pl.cdiv(rows, block), pl.cdiv(num_codes, CODES)),
        in_specs=[
            pl.BlockSpec((block, padded), lambda i, j: (i, 0)),
            pl.BlockSpec((CODES, padded), lambda i, j: (j, 0)),
        ],
        out_specs=pl.BlockSpec((None, block), lambda i, j: (j, i)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=3),
        interpret=interpret,
        name="project_level",
    )(hidden, table)
    return jax.nn.logsumexp(parts, axis=0)


def _kernel(
    hidden: Any,  # [N, D], a block of beams
    table: Any,  # [V, D], a block of codes
    logsumexp: Any,  # float32 [N], out: over this block of codes
    *,
    rows: int,
    num_codes: int,
    width: int,
) -> None:
    block = hidden.shape[0]
    real_row = pl.program_id(0) * block + jnp.arange(block) < rows
    real_code = pl.program_id(1) * CODES + jnp.arange(CODES) < num_codes

    def add_columns(part: Any, logits: Any) -> Any:
        columns = pl.ds(part * WIDTH, WIDTH)
        real = (part * WIDTH + jnp.arange(WIDTH) < width)[None]
        own = plgpu.load(hidden.at[:, columns], mask=real_row[:, None] & real, other=0)
        of_code = plgpu.load(table.at[:, columns], mask=real_code[:, None] & real, other=0)
        return logits + jax.lax.dot_general(
            own, of_code, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32
        )

    logits = jnp.zeros((block, CODES), jnp.float32)
    logits = jax.lax.fori_loop(0, pl.cdiv(width, WIDTH), add_columns, logits)
    logits = jnp.where(real_code[None], logits, -jnp.inf)
    highest = logits.max(axis=1)  # of a code at least, so it is finite
    total = jnp.exp(logits - highest[:, None]).sum(axis=1)
    plgpu.store(logsumexp, highest + jnp.log(total), mask=real_row)
