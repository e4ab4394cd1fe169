"""The op on a TPU: logits are made in vector memory, added up and looked up there."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from .._dispatch import check_fits
from .._tpu import LANES, MOST_VMEM, group_of, look_up

BEAMS = 128
"""Beams of a block."""

CODES = 512
"""Codes of a block."""

MASKED = -1e30
"""Logit of no code: finite, so that the difference of two is no NaN."""


def project_level(
    hidden: jax.Array, table: jax.Array, codes: jax.Array, *, interpret: Any
) -> tuple[jax.Array, jax.Array]:
    """Project some codes of each beam; see :func:`genret_kernels.project_level.api`."""
    batch, beams, width = hidden.shape
    num_codes = table.shape[0]
    asked = codes.shape[2]
    block = beams if beams <= BEAMS else BEAMS
    padded = pl.cdiv(asked, LANES) * LANES
    held = 2 * (block + CODES) * width * hidden.dtype.itemsize  # of this step and the next
    held += 4 * block * padded * 4 + block * CODES * 4
    check_fits("project_level", "bytes of D and K with 'pallas_tpu'", held, MOST_VMEM)

    beam_block = lambda b, i, j: (b, i, 0)  # noqa: E731
    logits, logsumexp = pl.pallas_call(
        functools.partial(_kernel, num_codes=num_codes),
        out_shape=[
            jax.ShapeDtypeStruct(codes.shape, jnp.float32),
            jax.ShapeDtypeStruct((batch, 1, beams), jnp.float32),
        ],
        grid=(batch, pl.cdiv(beams, block), pl.cdiv(num_codes, CODES)),
        in_specs=[
            pl.BlockSpec((1, block, width), beam_block),
            pl.BlockSpec((CODES, width), lambda b, i, j: (j, 0)),
            pl.BlockSpec((1, block, padded), beam_block),
        ],
        out_specs=[
            pl.BlockSpec((1, block, padded), beam_block),
            pl.BlockSpec((1, 1, block), lambda b, i, j: (b, 0, i)),
        ],
        scratch_shapes=[
            pltpu.VMEM((block, CODES), jnp.float32),
            pltpu.VMEM((block, 1), jnp.float32),
            pltpu.VMEM((block, 1), jnp.float32),
        ],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "arbitrary")
        ),
        interpret=interpret,
        name="project_level",
    )(hidden, table, codes)
    return logits, logsumexp[:, 0]


def _kernel(
    hidden: Any,  # [1, M, D]
    table: Any,  # [V, D], a block
    codes: Any,  # int32 [1, M, K]
    logits: Any,  # float32 [1, M, K], out
    logsumexp: Any,  # float32 [1, 1, M], out
    made: Any,  # float32 [M, V]: the logits of this block
    highest: Any,  # float32 [M, 1]: the largest logit so far
    total: Any,  # float32 [M, 1]: the sum of exp(logit - highest)
    *,
    num_codes: int,
) -> None:
    block = pl.program_id(2)

    @pl.when(block == 0)
    def _start() -> None:
        logits[...] = jnp.full(logits.shape, -jnp.inf)
        highest[...] = jnp.full(highest.shape, MASKED)
        total[...] = jnp.zeros(total.shape)

    own = jax.lax.dot_general(
        hidden[0], table[...], (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32
    )
    code = jax.lax.broadcasted_iota(jnp.int32, own.shape, 1) + block * CODES
    own = jnp.where(code < num_codes, own, MASKED)
    made[...] = own
    before = highest[...]
    now = jnp.maximum(before, own.max(axis=1, keepdims=True))
    highest[...] = now
    total[...] = total[...] * jnp.exp(before - now) + jnp.exp(own - now).sum(axis=1, keepdims=True)

    first_group = block * (CODES // LANES)
    for start in range(0, logits.shape[2], LANES):
        span = slice(start, start + LANES)
        # The number of no code, -1, belongs to no group.
        asked = jnp.minimum(codes[0, :, span], num_codes - 1)
        found = logits[0, :, span]
        for group in range(CODES // LANES):
            near = look_up(made[:, group * LANES : (group + 1) * LANES], asked)
            found = jnp.where(group_of(asked) == first_group + group, near, found)
        logits[0, :, span] = found

    @pl.when(block == pl.num_programs(2) - 1)
    def _finish() -> None:
        logsumexp[0] = (highest[...] + jnp.log(total[...])).T
