"""The op on a GPU (Triton): two kernels a level, and no sort.

The first reads the logits once and scores the children of one beam in each program. The second
counts how many children beat each one: that is its rank, and the record of a child whose rank is
below M is written there. Ranks of different children differ, so every record is written once.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from .._dispatch import check_fits
from .._triton import triton as plgpu
from .layout import ALLOWED, COUNT, DATA, LANES, LO, SCORE

CODES = 1024
"""Logits that a program reads at once."""

CHILDREN = 16
"""Children whose ranks a program counts."""

RIVALS = 64
"""Children that these are compared with at once."""

MOST_CHILDREN = 4096
"""Children of a request at which counting is still cheap: its work grows with their square."""


def rows_level(
    logits: jax.Array,
    state: jax.Array,
    limit: jax.Array,
    *,
    level: int,
    first: int,
    width: int,
    stride: int,
    beams: int,
    end_code: int | None,
    interpret: Any,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Extend the beams by one code; see :func:`genret_kernels.rows_level.api`."""
    batch, records = state.shape[:2]
    held, num_codes = logits.shape[1:]
    children = records * width
    check_fits("rows_level", "children with 'pallas_gpu'", children, MOST_CHILDREN)
    codes = pl.cdiv(num_codes, CODES) * CODES
    start = DATA + (level - first) // 2 * stride
    shift = 16 * ((level - first) % 2)
    scores = pl.pallas_call(
        functools.partial(
            _score, num_codes=num_codes, level=level, start=start, shift=shift, width=width,
            beams=beams, end_code=end_code,
        ),
        out_shape=jax.ShapeDtypeStruct((batch, records, width), jnp.float32),
        grid=(batch, records),
        in_specs=[
            pl.BlockSpec((None, None, codes), lambda b, m: (b, jnp.minimum(m, held - 1), 0)),
            pl.BlockSpec((None, None, LANES), lambda b, m: (b, m, 0)),
        ],
        out_specs=pl.BlockSpec((None, None, width), lambda b, m: (b, m, 0)),
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=1),
        interpret=interpret,
        name="rows_level_scores",
    )(logits, state)  # fmt: skip
    of_request = pl.BlockSpec((None, records), lambda b, i: (b, 0))
    all_records = pl.BlockSpec((None, records, LANES), lambda b, i: (b, 0, 0))
    following, parents = pl.pallas_call(
        functools.partial(_choose, level=level, start=start, shift=shift, width=width),
        out_shape=[
            jax.ShapeDtypeStruct(state.shape, jnp.int32),
            jax.ShapeDtypeStruct((batch, records), jnp.int32),
        ],
        grid=(batch, pl.cdiv(children, CHILDREN)),
        in_specs=[
            pl.BlockSpec((None,), lambda b, i: (b,)),
            pl.BlockSpec((None, children), lambda b, i: (b, 0)),
            all_records,
        ],
        out_specs=[all_records, of_request],
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=1),
        interpret=interpret,
        name="rows_level_choice",
    )(jnp.minimum(limit, beams), scores.reshape(batch, children), state)
    chosen = following[:, :beams]
    score = jax.lax.bitcast_convert_type(chosen[..., SCORE], jnp.float32)
    return following, parents[:, :beams], chosen[..., level], score


def _score(
    logits: Any,  # [V] of the beam
    state: Any,  # int32 [128], the beam's record
    scores: Any,  # float32 [width], out
    *,
    num_codes: int,
    level: int,
    start: int,
    shift: int,
    width: int,
    beams: int,
    end_code: int | None,
) -> None:
    slot = jnp.arange(width)
    code = state[pl.ds(start, width)] >> shift & 0xFFFF
    inside = (slot < state[COUNT]) & (pl.program_id(1) < beams)
    leads = inside & (jax.lax.shift_right_logical(state[ALLOWED], slot) & 1 == 1)
    if width > 1:  # of a run of equal codes, the first row hears of all others
        same = code[:, None] == code[None, :]
        leads = jnp.max(jnp.where(same & leads[None, :], 1, 0), axis=1) == 1
        earlier = same & (slot[None, :] < slot[:, None])
        leads &= jnp.max(jnp.where(earlier, 1, 0), axis=1) == 0

    def merge(block: Any, carry: Any) -> Any:
        largest, total = carry
        at = block * CODES + jnp.arange(CODES)
        own = plgpu.load(
            logits.at[pl.ds(block * CODES, CODES)], mask=at < num_codes, other=-jnp.inf
        ).astype(jnp.float32)
        now = jnp.maximum(largest, own)
        base = jnp.where(now == -jnp.inf, 0.0, now)
        return now, total * jnp.exp(largest - base) + jnp.exp(own - base)

    nothing = jnp.full((CODES,), -jnp.inf, jnp.float32), jnp.zeros((CODES,), jnp.float32)
    largest, total = jax.lax.fori_loop(0, pl.cdiv(num_codes, CODES), merge, nothing)
    most = jnp.max(largest)
    base = jnp.where(most == -jnp.inf, 0.0, most)
    normalizer = jnp.log(jnp.sum(total * jnp.exp(largest - base))) + base

    found = plgpu.load(logits.at[code], mask=inside, other=-jnp.inf).astype(jnp.float32)
    if end_code is not None and level > 0:
        ended = state[level - 1] == end_code
        found, normalizer = jnp.where(ended, 0.0, found), jnp.where(ended, 0.0, normalizer)
    score = jax.lax.bitcast_convert_type(state[SCORE], jnp.float32) + (found - normalizer)
    # NaN cannot win a place.
    scores[...] = jnp.where(leads & inside & (score > -jnp.inf), score, -jnp.inf)


def _choose(
    limit: Any,  # int32 []
    scores: Any,  # float32 [R * width]
    state: Any,  # int32 [R, 128]
    following: Any,  # int32 [R, 128], out
    parents: Any,  # int32 [R], out
    *,
    level: int,
    start: int,
    shift: int,
    width: int,
) -> None:
    records, children = state.shape[0], scores.shape[0]
    child = pl.program_id(1) * CHILDREN + jnp.arange(CHILDREN)
    real = child < children
    score = plgpu.load(scores.at[child], mask=real, other=-jnp.inf)

    def count(block: Any, rank: Any) -> Any:
        rival = block * RIVALS + jnp.arange(RIVALS)
        other = plgpu.load(scores.at[rival], mask=rival < children, other=-jnp.inf)
        before = (rival[None, :] < child[:, None]) & (other[None, :] == score[:, None])
        beats = (other[None, :] > score[:, None]) | before
        return rank + jnp.sum(jnp.where(beats & (rival < children)[None, :], 1, 0), axis=1)

    nobody = jnp.zeros((CHILDREN,), jnp.int32)
    rank = jax.lax.fori_loop(0, pl.cdiv(children, RIVALS), count, nobody)
    valid = (score > -jnp.inf) & (rank < limit[...])
    here = real & (rank < records)  # whose record is written, if only to say that it is no beam
    parent = jnp.minimum(child >> (width.bit_length() - 1), records - 1)
    slot = child & (width - 1)
    field = lambda lane: plgpu.load(state.at[parent, lane], mask=here, other=0)  # noqa: E731
    code = field(start + slot) >> shift & 0xFFFF
    rows = field(jnp.full((CHILDREN,), COUNT, jnp.int32))
    if width > 1:
        row = jnp.arange(width)
        at = jnp.broadcast_to((start + row)[None, :], (CHILDREN, width))
        own = jnp.broadcast_to(parent[:, None], (CHILDREN, width))
        codes = plgpu.load(state.at[own, at], mask=here[:, None], other=0) >> shift & 0xFFFF
        below = (row[None, :] >= slot[:, None]) & (row[None, :] < rows[:, None])
        rows = jnp.sum(jnp.where(below & (codes == code[:, None]), 1, 0), axis=1)

    lane = jnp.broadcast_to(jnp.arange(LANES)[None, :], (CHILDREN, LANES))
    own = jnp.broadcast_to(parent[:, None], (CHILDREN, LANES))
    # The child's rows move to the front of their group; what follows them is never looked at.
    behind = jnp.minimum(lane + slot[:, None], LANES - 1)
    record = plgpu.load(
        state.at[own, jnp.where(lane < DATA, lane, behind)], mask=here[:, None], other=0
    )
    allowed = field(jnp.full((CHILDREN,), ALLOWED, jnp.int32))
    fields = {
        level: code,
        LO: field(jnp.full((CHILDREN,), LO, jnp.int32)) + slot,
        COUNT: rows,
        ALLOWED: jax.lax.shift_right_logical(allowed, slot),
    }
    for place, value in fields.items():
        record = jnp.where(lane == place, value[:, None], record)
    record = jnp.where(valid[:, None], record, 0)
    bits = jax.lax.bitcast_convert_type(jnp.where(valid, score, -jnp.inf), jnp.int32)
    record = jnp.where(lane == SCORE, bits[:, None], record)
    to = jnp.broadcast_to(rank[:, None], (CHILDREN, LANES))
    plgpu.store(following.at[to, lane], record, mask=here[:, None])
    plgpu.store(parents.at[rank], jnp.where(valid, parent, 0), mask=here)
