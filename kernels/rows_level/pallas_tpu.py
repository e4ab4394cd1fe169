"""The op on a TPU: a level is one kernel, and no table is read beside the logits."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from .._dispatch import check_fits
from .._tpu import LANES
from .._tpu_logits import Logits
from .._tpu_select import (
    LOWEST,
    SUBLANES,
    bits_of,
    compact,
    floats_of,
    in_order,
    iota,
    positions,
    ranked,
    ranked_together,
    round_up,
    sortable,
    taken,
    thresholds,
    to_row,
    turned,
)
from .layout import ALLOWED, COUNT, DATA, LO, SCORE

MOST_BEAMS = 512
RANKED_WIDTH = 2
"""Rows of a beam up to which comparing all children is cheaper than finding the best ones first."""

MOST_LOGITS = 40 << 20
"""Bytes of logits that a grid step and the next may hold together."""


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
    check_fits("rows_level", "beams with 'pallas_tpu'", beams, MOST_BEAMS)
    rows, codes = round_up(held, SUBLANES) if held > 1 else 1, round_up(num_codes, LANES)
    size = 2 * rows * codes * logits.dtype.itemsize
    check_fits("rows_level", "bytes of logits with 'pallas_tpu'", size, MOST_LOGITS)
    # Requests of a step hide each other's waits, where their logits fit.
    together = next(n for n in (4, 2, 1) if n == 1 or (batch % n == 0 and n * size <= MOST_LOGITS))
    lanes = round_up(records, LANES)
    out = (batch, SUBLANES, lanes)
    block = lambda *shape: pl.BlockSpec((together, *shape), lambda i, _: (i, 0, 0))  # noqa: E731
    scratch = (together, round_up(width, SUBLANES), lanes)
    following, found = pl.pallas_call(
        functools.partial(
            _kernel,
            num_codes=num_codes,
            level=level,
            first=first,
            width=width,
            stride=stride,
            beams=beams,
            end_code=end_code,
        ),
        out_shape=[
            jax.ShapeDtypeStruct(state.shape, jnp.int32),
            jax.ShapeDtypeStruct(out, jnp.int32),
        ],
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(batch // together,),
            in_specs=[block(rows, codes), block(records, LANES)],
            out_specs=[block(records, LANES), block(*out[1:])],
            scratch_shapes=[
                pltpu.VMEM(scratch, jnp.float32),
                pltpu.VMEM(scratch, jnp.int32),
                pltpu.VMEM(scratch, jnp.float32),
            ],
        ),
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=together * size + (16 << 20)),
        interpret=interpret,
        name="rows_level",
    )(limit, logits, state)
    parents, codes_, scores = (found[:, row, :beams] for row in range(3))
    return following, parents, codes_, jax.lax.bitcast_convert_type(scores, jnp.float32)


def _kernel(
    limit: Any,  # int32 [B] in SMEM
    logits: Any,  # [n, M or 1, V]
    state: Any,  # int32 [n, R, 128]
    following: Any,  # int32 [n, R, 128], out
    found: Any,  # int32 [n, 8, C], out: parents, codes and the bits of scores
    scores: Any,  # float32 [n, width, C]
    keys: Any,  # int32 [n, width, C]
    places: Any,  # float32 [n, width, C]
    *,
    num_codes: int,
    level: int,
    first: int,
    width: int,
    stride: int,
    beams: int,
    end_code: int | None,
) -> None:
    requests, records = state.shape[:2]
    shape = (records, LANES)
    best = _best_children(
        logits, state, scores, keys, places,
        num_codes=num_codes, level=level, first=first, width=width, stride=stride, beams=beams,
        end_code=end_code,
    )  # fmt: skip
    row = iota((records, 1), 0)
    for q in range(requests):
        kept = jnp.minimum(limit[pl.program_id(0) * requests + q], beams)
        score, which = best[q]
        valid = (score > -jnp.inf) & (row < kept)
        score = jnp.where(valid, score + 0.0, -jnp.inf)
        child = jnp.where(valid, which, 0.0).astype(jnp.int32)
        parent, slot = child >> (width.bit_length() - 1), child & (width - 1)
        square = (records, records)
        own = taken(jnp.broadcast_to(parent, square) == iota(square, 1), state[q], 4)
        own = jnp.where(jnp.broadcast_to(valid, shape), own, 0)
        following[q], code = _moved(
            own, slot, score, level=level, first=first, width=width, stride=stride
        )
        rows = [to_row(x) for x in (parent, code, bits_of(score))]
        for number, values in enumerate(rows):
            found[q, number : number + 1] = values


def _best_children(
    logits: Any, state: Any, scores: Any, keys: Any, places: Any, *, num_codes: int, level: int,
    first: int, width: int, stride: int, beams: int, end_code: int | None,
) -> list[tuple[jax.Array, jax.Array]]:  # fmt: skip
    """Return the scores of the best children, in their order, and their numbers, beam * width + row.

    They are float32 [R, 1] each, a pair of them for each request.
    """
    requests, records = state.shape[:2]
    lanes = scores.shape[2]
    values = []
    for q in range(requests):
        own = Logits(logits, q, records, num_codes)
        values.append(_scores(own, state[q], level, first, width, stride, beams, end_code))
    if width <= RANKED_WIDTH:
        return [ranked_together([x[:, at : at + 1] for at in range(width)]) for x in values]
    inside = iota(scores.shape[1:], 0) < width
    for q in range(requests):
        scores[q] = turned(values[q], scores.shape[1], lanes)
        keys[q] = jnp.where(inside, sortable(scores[q]), LOWEST)
    found = thresholds([keys.at[q] for q in range(requests)], width, beams)
    for q in range(requests):
        places[q] = positions(keys[q], found[q], beams, by_column=True)
    lane = iota((1, LANES), 1)

    def number(row: Any, start: int) -> jax.Array:
        return ((lane + start) * width + row).astype(jnp.float32)

    refs = [(scores.at[q], places.at[q]) for q in range(requests)]
    ordered = []
    for best, which in compact([x for x, _ in refs], number, [x for _, x in refs], width, records):
        order = ranked(best, beams)
        ordered.append((in_order(order, best), in_order(order, which)))
    return ordered


def _scores(
    logits: Logits, own: jax.Array, level: int, first: int, width: int, stride: int, beams: int,
    end_code: int | None,
) -> jax.Array:  # fmt: skip
    """Return the scores of the children in the first ``width`` lanes, -inf elsewhere; [R, 128]."""
    shape = own.shape
    lane = iota(shape, 1)
    codes = _codes_of(own, level, first, stride)
    column = lambda at: jnp.broadcast_to(own[:, at : at + 1], shape)  # noqa: E731
    inside = lane < column(COUNT)
    legal = inside & (column(ALLOWED) >> jnp.minimum(lane, 31) & 1 == 1)
    distance = 1
    while distance < width:  # of a run of equal codes, the first row hears of all others
        after = _ahead(codes, distance) == codes
        further = _ahead(jnp.where(legal, 1, 0), distance) == 1
        legal |= further & after & (lane < width - distance)
        distance *= 2
    if width > 1:
        legal &= (lane == 0) | (pltpu.roll(codes, 1, 1) != codes)
    legal &= inside & (lane < width) & (iota(shape, 0) < beams)
    normalizer, found = logits.normalizer_and_logits(codes, width)
    normalizer = jnp.broadcast_to(normalizer, shape)
    if end_code is not None and level > 0:
        ended = column(level - 1) == end_code
        found, normalizer = jnp.where(ended, 0.0, found), jnp.where(ended, 0.0, normalizer)
    scores = floats_of(column(SCORE)) + (found - normalizer)
    return jnp.where(legal & (scores > -jnp.inf), scores, -jnp.inf)  # NaN cannot win a place


def _moved(
    own: jax.Array, slot: jax.Array, score: jax.Array, *, level: int, first: int, width: int,
    stride: int,
) -> tuple[jax.Array, jax.Array]:  # fmt: skip
    """Return the records of children whose parents' records are ``own``, and their codes [R, 1]."""
    shape = own.shape
    lane = iota(shape, 1)
    codes = _codes_of(own, level, first, stride)
    fields = {SCORE: bits_of(score)}
    if width == 1:  # the one row stays where it is
        code, moved = codes[:, :1], own
    else:
        count, allowed, lo = (own[:, at : at + 1] for at in (COUNT, ALLOWED, LO))
        at = jnp.broadcast_to(slot, shape)
        code = jnp.sum(jnp.where(lane == at, codes, 0), axis=1, keepdims=True)
        inside = (lane >= at) & (lane < jnp.broadcast_to(count, shape)) & (lane < stride)
        same = inside & (codes == jnp.broadcast_to(code, shape))
        # The child's rows move to the front of their group; what follows is never looked at.
        source = jnp.where(lane < DATA, lane, jnp.minimum(lane + at, LANES - 1))
        moved = jnp.take_along_axis(own, source, axis=1, mode="promise_in_bounds")
        fields[COUNT] = jnp.sum(jnp.where(same, 1, 0), axis=1, keepdims=True)
        fields[ALLOWED] = jax.lax.shift_right_logical(allowed, slot)
        fields[LO] = lo + slot
    fields[level] = code
    for place, value in fields.items():
        moved = jnp.where(lane == place, jnp.broadcast_to(value, shape), moved)
    return moved, code


def _codes_of(own: jax.Array, level: int, first: int, stride: int) -> jax.Array:
    """Return the codes of the level of a record's rows, in its first lanes; int32 [R, 128]."""
    start = DATA + (level - first) // 2 * stride
    return _ahead(own, start) >> 16 * ((level - first) % 2) & 0xFFFF


def _ahead(values: jax.Array, distance: int) -> jax.Array:
    """Move lanes to the front."""
    return pltpu.roll(values, LANES - distance, 1)
