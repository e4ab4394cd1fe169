"""The op on a GPU (Triton): flash attention of all beams over the history that they share."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from .._dispatch import KernelError, check_fits
from .._triton import LEAST
from .._triton import triton as plgpu
from ._parts import beams_own, grouped, history_rows, join_parts, suffix_scores

ROWS = 64
"""Most queries of a program."""

KEYS = 64
"""Keys of a step of its loop."""

MOST_WIDTH = 256
"""Width D of a head at which the accumulators still fit the registers."""

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
    width = queries.shape[-1]
    check_fits("shared_prefix_attention", "D with 'pallas_gpu'", width, MOST_WIDTH)
    if width < LEAST or width & (width - 1):
        raise KernelError(
            f"shared_prefix_attention: D with 'pallas_gpu': found {width}, "
            f"expected a power of two from {LEAST}; use 'xla'"
        )
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
    row_block = min(ROWS, max(LEAST, pl.next_power_of_2(rows)))
    padded = pl.cdiv(size, KEYS) * KEYS

    row_spec = pl.BlockSpec((None, None, row_block, width), lambda b, h, i: (b, h, i, 0))
    history_spec = pl.BlockSpec((None, None, padded, width), lambda b, h, i: (b, h, 0, 0))
    return tuple(
        pl.pallas_call(
            functools.partial(_kernel, rows=rows, size=size),
            out_shape=[
                jax.ShapeDtypeStruct(queries.shape, jnp.float32),
                jax.ShapeDtypeStruct((batch, heads, rows), jnp.float32),
            ],
            # The programs of one head are neighbors: they read the same keys from the L2 cache.
            grid=(batch, heads, pl.cdiv(rows, row_block)),
            in_specs=[
                pl.BlockSpec((None,), lambda b, h, i: (b,)),
                row_spec,
                history_spec,
                history_spec,
            ],
            out_specs=[
                row_spec,
                pl.BlockSpec((None, None, row_block), lambda b, h, i: (b, h, i)),
            ],
            compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
            interpret=interpret,
            name="shared_prefix_attention",
        )(lengths, queries, keys, values)
    )


def _kernel(
    length: Any,  # int32 []
    queries: Any,  # [R, D]
    keys: Any,  # [S, D], all of them
    values: Any,  # [S, D]
    mixed: Any,  # float32 [R, D], out
    logsumexp: Any,  # float32 [R], out
    *,
    rows: int,
    size: int,
) -> None:
    row_block, width = queries.shape
    row = pl.program_id(2) * row_block + jnp.arange(row_block)
    real = row < rows
    own = plgpu.load(queries, mask=real[:, None], other=0)
    length = jnp.minimum(length[...], size)

    def add_block(block: Any, carry: Any) -> Any:
        highest, total, weighted = carry
        span = pl.ds(block * KEYS, KEYS)
        present = block * KEYS + jnp.arange(KEYS) < length
        key = plgpu.load(keys.at[span, :], mask=present[:, None], other=0)
        value = plgpu.load(values.at[span, :], mask=present[:, None], other=0)
        scores = jax.lax.dot_general(
            own, key, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32
        )
        scores = jnp.where(present[None], scores, MASKED)
        now = jnp.maximum(highest, scores.max(axis=1))
        weights = jnp.exp(scores - now[:, None])
        keep = jnp.exp(highest - now)
        total = keep * total + weights.sum(axis=1)
        weighted = keep[:, None] * weighted + jnp.dot(
            weights.astype(value.dtype), value, preferred_element_type=jnp.float32
        )
        return now, total, weighted

    start = (
        jnp.full((row_block,), MASKED, jnp.float32),
        jnp.zeros((row_block,), jnp.float32),
        jnp.zeros((row_block, width), jnp.float32),
    )
    blocks = pl.cdiv(length, KEYS)
    highest, total, weighted = jax.lax.fori_loop(0, blocks, add_block, start)
    some = total > 0
    divisor = jnp.where(some, total, 1)
    plgpu.store(mixed, weighted / divisor[:, None], mask=real[:, None])
    plgpu.store(logsumexp, jnp.where(some, highest + jnp.log(divisor), -jnp.inf), mask=real)
