"""The op on a TPU: each beam's run of edges is one copy, its logits are looked up in registers."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from .._dispatch import check_fits
from .._tpu import LANES, MOST_VMEM, group_of, look_up

BEAMS = 16
"""Beams of a grid step: the rows of a tile of bfloat16."""

TILE = 256
"""Edges of a tile in HBM (of uint16; of uint32 it is half): a copy starts and ends at one."""

MOST_BEAMS = 1 << 16
"""Beams whose first edges fit the scalar memory (1 MiB) with room to spare."""


def gather_candidates(
    logits: jax.Array,
    edge_codes: jax.Array,
    begin: jax.Array,
    counts: jax.Array,
    base: jax.Array,
    normalizer: jax.Array,
    *,
    width: int,
    interpret: Any,
) -> tuple[jax.Array, jax.Array]:
    """Score the edges of each beam; see :func:`genret_kernels.gather_candidates.api`.

    A grid step takes 16 beams of a request, while the edges of the next 16 are on their way from
    HBM. A copy must start at a tile, so each reads a window: from the tile where the beam's run
    begins, one tile more than K. The end of the edges may not be a whole window; runs there are
    read from a padded copy of the last two windows, so the edges themselves are never copied.
    """
    batch, beams, num_codes = logits.shape
    num_edges = edge_codes.shape[0]
    window = pl.cdiv(width, TILE) * TILE + TILE
    padded_width, padded_codes = (pl.cdiv(x, LANES) * LANES for x in (width, num_codes))
    check_fits("gather_candidates", "B * M with 'pallas_tpu'", batch * beams, MOST_BEAMS)
    held = 2 * BEAMS * padded_codes * logits.dtype.itemsize  # logits of this step and the next
    held += 2 * BEAMS * padded_width * 8  # scores and codes of this step and the last
    held += BEAMS * window * (2 * edge_codes.dtype.itemsize + 4)
    check_fits("gather_candidates", "bytes of V and K with 'pallas_tpu'", held, MOST_VMEM)

    tail_start = max(0, (num_edges - window) // TILE * TILE)
    tail_size = 2 * window + TILE  # a window from any tile of the end
    tail = edge_codes[tail_start:]
    tail = jnp.pad(tail, (0, tail_size - tail.shape[0]), mode="edge")
    if num_edges < window:  # all are in the tail; the other array is never read
        edge_codes = tail
    if not interpret:  # else XLA moves the edges of a small level into VMEM, all of them
        edge_codes = pltpu.with_memory_space_constraint(edge_codes, pltpu.HBM)
    begin = jnp.clip(begin, 0, num_edges - 1)
    # Small whole numbers are exact in float32, so one array holds what a beam needs.
    of_beam = [base, normalizer, jnp.clip(counts, 0, width), begin & (TILE - 1)]
    facts = jnp.stack([x.astype(jnp.float32) for x in of_beam], axis=-1)

    step = lambda b, j, _: (b, j, 0)  # noqa: E731
    out = (batch, beams, width)
    return tuple(
        pl.pallas_call(
            functools.partial(
                _kernel,
                window=window,
                num_edges=num_edges,
                tail_start=tail_start,
                last_code=num_codes - 1,
                beams=beams,
            ),
            out_shape=[
                jax.ShapeDtypeStruct(out, jnp.float32),
                jax.ShapeDtypeStruct(out, jnp.int32),
            ],
            grid_spec=pltpu.PrefetchScalarGridSpec(
                num_scalar_prefetch=1,
                grid=(batch, pl.cdiv(beams, BEAMS)),
                in_specs=[
                    pl.BlockSpec(memory_space=pltpu.HBM),
                    pl.BlockSpec(memory_space=pltpu.HBM),
                    pl.BlockSpec((1, BEAMS, padded_codes), step),
                    pl.BlockSpec((1, BEAMS, 4), step),
                ],
                out_specs=[pl.BlockSpec((1, BEAMS, padded_width), step)] * 2,
                scratch_shapes=[
                    pltpu.VMEM((2 * BEAMS * window,), edge_codes.dtype),
                    pltpu.VMEM((BEAMS, window), jnp.int32),
                    pltpu.SemaphoreType.DMA((2,)),
                ],
            ),
            # A step starts the copies of the next one: the order is fixed.
            compiler_params=pltpu.CompilerParams(dimension_semantics=("arbitrary", "arbitrary")),
            interpret=interpret,
            name="gather_candidates",
        )(
            begin.reshape(-1),
            edge_codes,
            tail,
            logits,
            facts,
        )
    )


def _kernel(
    begin: Any,  # int32 [B * M] in SMEM
    edges: Any,  # [E] in HBM
    tail: Any,  # [tail_size] in HBM
    logits: Any,  # [1, 16, V]
    facts: Any,  # float32 [1, 16, 4]: base, normalizer, count, edges before the first in its tile
    scores: Any,  # float32 [1, 16, K], out
    codes: Any,  # int32 [1, 16, K], out
    windows: Any,  # [2 * 16 * window]: the edges of this step and of the next
    rows: Any,  # int32 [16, window]: the edges of this step
    arrived: Any,  # two semaphores
    *,
    window: int,
    num_edges: int,
    tail_start: int,
    last_code: int,
    beams: int,
) -> None:
    steps = pl.num_programs(1)
    step = pl.program_id(0) * steps + pl.program_id(1)

    def place(step: Any, row: Any) -> Any:
        return windows.at[pl.ds(pl.multiple_of((step % 2 * BEAMS + row) * window, TILE), window)]

    def copy(source: Any, start: Any, step: Any, row: Any) -> Any:
        source = source.at[pl.ds(pl.multiple_of(start, TILE), window)]
        return pltpu.make_async_copy(source, place(step, row), arrived.at[step % 2])

    def start_copies(step: Any) -> None:
        @pl.loop(0, BEAMS)
        def _start(row: Any) -> None:
            beam = jnp.minimum(step % steps * BEAMS + row, beams - 1)
            start = begin[step // steps * beams + beam] // TILE * TILE
            at_end = start + window > num_edges
            # Both are traced: where the other one is taken, the start must be in range still.
            in_tail = jnp.where(at_end, start - tail_start, 0)
            in_edges = jnp.where(at_end, 0, start)
            pl.when(at_end)(copy(tail, in_tail, step, row).start)
            pl.when(~at_end)(copy(edges, in_edges, step, row).start)

    pl.when(step == 0)(lambda: start_copies(step))
    pl.when(step + 1 < pl.num_programs(0) * steps)(lambda: start_copies(step + 1))

    @pl.loop(0, BEAMS)
    def _wait(row: Any) -> None:
        copy(tail, 0, step, row).wait()  # waits for the bytes, whatever their source

    @pl.loop(0, BEAMS)
    def _widen(row: Any) -> None:
        rows[row, :] = place(step, row)[...].astype(jnp.int32)

    base, normalizer, count, skip = (facts[0, :, i : i + 1] for i in range(4))
    lane = jax.lax.broadcasted_iota(jnp.int32, (BEAMS, LANES), 1)
    # Child k is at place k + skip of the window, and skip is below two registers of lanes: it is in
    # one of three registers, in all of them at the same lane.
    at = lane + skip.astype(jnp.int32)
    turned = [look_up(rows[:, start : start + LANES], at) for start in range(0, window, LANES)]
    for chunk in range(scores.shape[2] // LANES):
        near, middle, far = turned[chunk : chunk + 3]
        code = jnp.where(at < LANES, near, jnp.where(at < 2 * LANES, middle, far))
        code = jnp.minimum(code, last_code)
        found = jax.lax.fori_loop(
            0,
            logits.shape[2] // LANES,
            functools.partial(_look_up_group, logits, code),
            jnp.zeros((BEAMS, LANES), jnp.float32),
        )
        score = base + (found - normalizer)
        legal = lane + chunk * LANES < count.astype(jnp.int32)
        span = slice(chunk * LANES, (chunk + 1) * LANES)
        scores[0, :, span] = jnp.where(legal & (score > -jnp.inf), score, -jnp.inf)
        codes[0, :, span] = jnp.where(legal, code, -1)


def _look_up_group(logits: Any, code: jax.Array, group: Any, found: jax.Array) -> jax.Array:
    """Take from one group of 128 logits what belongs to it."""
    span = pl.ds(pl.multiple_of(group * LANES, LANES), LANES)
    own = look_up(logits[0, :, span].astype(jnp.float32), code)
    return jnp.where(group_of(code) == group, own, found)
