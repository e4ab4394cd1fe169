"""The op on a TPU: flash attention of all beams of a request over the history that they share."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from .._dispatch import check_fits
from ._parts import beams_own, grouped, history_rows, join_parts, suffix_scores

ROWS = 512
"""Queries of a block."""

KEYS = 512
"""Keys of a block."""

MOST_WIDTH = 512
"""Width D of a head at which the blocks still fit the vector memory."""

MASKED = -1e30
"""Score of a masked key: finite, so that the difference of two is no NaN."""


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
    interpret: Any,
) -> jax.Array:
    """Attend over all parts; see :func:`genret_kernels.shared_prefix_attention.api`."""
    check_fits("shared_prefix_attention", "D with 'pallas_tpu'", queries.shape[-1], MOST_WIDTH)
    queries = grouped(queries, keys.shape[3])
    keys = beams_own(earlier_keys, paths, keys)
    values = beams_own(earlier_values, paths, values)
    history, logsumexp = attend_history(
        history_rows(queries),
        shared_keys.swapaxes(1, 2),
        shared_values.swapaxes(1, 2),
        shared_lengths,
        interpret=interpret,
    )
    return join_parts(history, logsumexp, suffix_scores(queries, keys), values)


def attend_history(
    queries: jax.Array, keys: jax.Array, values: jax.Array, lengths: jax.Array, *, interpret: Any
) -> tuple[jax.Array, jax.Array]:
    """Attend over the history alone.

    Args:
      queries: [B, K, R, D], scaled.
      keys: [B, K, S, D].
      values: [B, K, S, D].
      lengths: int32 [B].
      interpret: see the op.

    Returns:
      float32 [B, K, R, D], the mixed values (0 where there is no history), and float32 [B, K, R],
      the logsumexp of the scores (-inf there).
    """
    batch, heads, rows, width = queries.shape
    size = keys.shape[2]
    if size == 0:
        return jnp.zeros(queries.shape, jnp.float32), jnp.full((batch, heads, rows), -jnp.inf)
    row_block = rows if rows <= ROWS else ROWS
    key_block = size if size <= KEYS else KEYS

    def history_block(b: Any, h: Any, i: Any, j: Any, lengths: Any) -> tuple[Any, ...]:
        # Blocks past the length are skipped: asking for the last one again copies nothing.
        return b, h, jnp.minimum(j, jnp.maximum(pl.cdiv(lengths[b], key_block) - 1, 0)), 0

    row_spec = pl.BlockSpec((1, 1, row_block, width), lambda b, h, i, j, _: (b, h, i, 0))
    mixed, logsumexp = pl.pallas_call(
        functools.partial(_kernel, key_block=key_block),
        out_shape=[
            jax.ShapeDtypeStruct(queries.shape, jnp.float32),
            jax.ShapeDtypeStruct((batch, heads, 1, rows), jnp.float32),
        ],
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(batch, heads, pl.cdiv(rows, row_block), pl.cdiv(size, key_block)),
            in_specs=[
                row_spec,
                pl.BlockSpec((1, 1, key_block, width), history_block),
                pl.BlockSpec((1, 1, key_block, width), history_block),
            ],
            out_specs=[
                row_spec,
                pl.BlockSpec((1, 1, 1, row_block), lambda b, h, i, j, _: (b, h, 0, i)),
            ],
            scratch_shapes=[
                pltpu.VMEM((row_block, 1), jnp.float32),
                pltpu.VMEM((row_block, 1), jnp.float32),
                pltpu.VMEM((row_block, width), jnp.float32),
            ],
        ),
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "parallel", "arbitrary")
        ),
        interpret=interpret,
        name="shared_prefix_attention",
    )(lengths, queries, keys, values)
    return mixed, logsumexp[:, :, 0]


def _kernel(
    lengths: Any,  # int32 [B] in SMEM
    queries: Any,  # [1, 1, R, D]
    keys: Any,  # [1, 1, S, D], a block
    values: Any,  # [1, 1, S, D], a block
    mixed: Any,  # float32 [1, 1, R, D], out
    logsumexp: Any,  # float32 [1, 1, 1, R], out
    highest: Any,  # float32 [R, 1]: the largest score so far
    total: Any,  # float32 [R, 1]: the sum of exp(score - highest)
    weighted: Any,  # float32 [R, D]: the sum of exp(score - highest) * value
    *,
    key_block: int,
) -> None:
    block = pl.program_id(3)
    left = lengths[pl.program_id(0)] - block * key_block

    @pl.when(block == 0)
    def _start() -> None:
        highest[...] = jnp.full(highest.shape, MASKED)
        total[...] = jnp.zeros(total.shape)
        weighted[...] = jnp.zeros(weighted.shape)

    @pl.when(left > 0)
    def _add_block() -> None:
        scores = jax.lax.dot_general(
            queries[0, 0], keys[0, 0], (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32
        )
        key = jax.lax.broadcasted_iota(jnp.int32, scores.shape, 1)
        scores = jnp.where(key < left, scores, MASKED)
        before = highest[...]
        now = jnp.maximum(before, scores.max(axis=1, keepdims=True))
        weights = jnp.exp(scores - now)
        keep = jnp.exp(before - now)
        # Past the length the values may be NaN, and 0 * NaN is not 0.
        row = jax.lax.broadcasted_iota(jnp.int32, values.shape[2:], 0)
        own = jnp.where(row < left, values[0, 0], 0)
        highest[...] = now
        total[...] = keep * total[...] + weights.sum(axis=1, keepdims=True)
        weighted[...] = keep * weighted[...] + jnp.dot(
            weights.astype(own.dtype), own, preferred_element_type=jnp.float32
        )

    @pl.when(block == pl.num_programs(3) - 1)
    def _finish() -> None:
        some = total[...] > 0
        mixed[0, 0] = weighted[...] / jnp.where(some, total[...], 1)
        found = jnp.where(some, highest[...] + jnp.log(total[...]), -jnp.inf)
        logsumexp[0, 0] = found.T
