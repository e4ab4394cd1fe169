"""The op on a TPU: lines of the beams in, the choice, lines of the chosen children in, records out."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from .._dispatch import check_fits
from .._tpu_choose import Scratch, Sizes, best_codes, widened
from .._tpu_logits import Logits
from .._tpu_select import SUBLANES, bits_of, floats_of, iota, taken, to_row
from ..rows_level.layout import ALLOWED, COUNT, DATA, LANES, LO, NODE, SCORE
from .layout import NARROW, WORD_BITS, LinesLayout

MOST_LINES = 1 << 16
"""Lines to read at most: their numbers lie in SMEM."""


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
    interpret: Any,
) -> tuple[jax.Array, ...]:
    """Extend the beams by one code; see :func:`genret_kernels.lines_level.api`."""
    batch, records = state.shape[:2]
    lines_held = layout.each + pl.cdiv(layout.words, LANES)
    sizes = Sizes.of("lines_level", logits, beams, beams, lines_held)
    check_fits("lines_level", "lines to read with 'pallas_tpu'", batch * records, MOST_LINES)
    nodes, lo, count = (state[..., at].reshape(-1) for at in (NODE, LO, COUNT))
    which = jnp.clip(layout.first_lines(nodes, lo, count), 0, lines.shape[0] - layout.each)
    requests = sizes.together

    def block(*shape: int) -> pl.BlockSpec:
        return pl.BlockSpec((requests, *shape), lambda i, *_: (i, 0, 0))

    following, found = pl.pallas_call(
        functools.partial(
            _kernel, layout=layout, level=level, sizes=sizes, last_cells=cells.shape[0] - 1
        ),
        out_shape=[
            jax.ShapeDtypeStruct(state.shape, jnp.int32),
            jax.ShapeDtypeStruct((batch, SUBLANES, sizes.lanes), jnp.int32),
        ],
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=2,
            grid=(batch // requests,),
            in_specs=[
                block(sizes.logits_rows, sizes.codes),
                block(records, LANES),
                pl.BlockSpec(memory_space=pltpu.HBM),
                pl.BlockSpec(memory_space=pltpu.HBM),
            ],
            out_specs=[block(records, LANES), block(SUBLANES, sizes.lanes)],
            scratch_shapes=[
                pltpu.VMEM((layout.each, requests * records, LANES), jnp.int32),
                pltpu.VMEM((requests, records, sizes.word_lanes), jnp.int32),
                pltpu.SemaphoreType.DMA,
                *sizes.scratch(),
            ],
        ),
        compiler_params=pltpu.CompilerParams(
            vmem_limit_bytes=sizes.vmem_bytes,
            disable_bounds_checks=True,  # all lines are clipped
        ),
        interpret=interpret,
        name="lines_level",
    )(which, limit, logits, state, lines, cells)
    parents, codes, nodes, lo, count, scores = (found[:, row, :beams] for row in range(6))
    return (
        following,
        parents,
        codes,
        nodes,
        lo,
        lo + count,
        jax.lax.bitcast_convert_type(scores, jnp.float32),
    )


def _kernel(
    which: Any,  # int32 [B R] in SMEM, the first line of each beam
    limit: Any,  # int32 [B] in SMEM
    logits: Any,  # [n, M or 1, V]
    state: Any,  # int32 [n, R, 128]
    lines: Any,  # int32 [T, 128] in HBM
    cells: Any,  # int32 [T2, 128] in HBM
    following: Any,  # int32 [n, R, 128], out
    found: Any,  # int32 [n, 8, C], out: parents, codes, numbers, first rows, counts, the bits of scores
    held: Any,  # int32 [each, n R, 128]: the beams' lines, then in the first the children's cells
    words: Any,  # int32 [n, R, W]: the bits of the codes of the beams' children
    arrived: Any,
    *more: Any,
    layout: LinesLayout,
    level: int,
    sizes: Sizes,
    last_cells: int,
) -> None:
    requests, records = state.shape[:2]
    scratch = Scratch(more)
    begin = pl.program_id(0) * requests * records
    for plane in range(layout.each):
        _fetch(lines, lambda at, n=plane: which[begin + at] + n, held.at[plane], arrived)
    every = range(requests)
    own = [Logits(logits, q, records, sizes.num_codes) for q in every]
    _await(held, arrived)
    read = [_read(own[q], held, q, state[q]) for q in every]
    normalizers, listed = [normalizer for normalizer, _ in read], [few for _, few in read]
    for q in every:
        words[q] = _words(_lines_of(held, q, records), state[q], layout, sizes)
    base = [floats_of(state[q, :, SCORE : SCORE + 1]) for q in every]
    chosen = best_codes(own, normalizers, words, base, scratch, sizes, listed)

    row = iota((records, 1), 0)
    children = []
    for q in every:
        score, beam, code = (_filled_up(x, records) for x in chosen[q])
        kept = jnp.minimum(limit[pl.program_id(0) * requests + q], sizes.beams)
        valid = (score > -jnp.inf) & (row < kept) & (row < sizes.size)
        square = (records, records)
        owns = jnp.broadcast_to(beam, square) == iota(square, 1)
        planes = _with_heads(_lines_of(held, q, records), state[q], layout)
        planes = [taken(owns, plane, 4) for plane in planes]
        parent = pltpu.roll(planes[-1], DATA, 1)  # what is behind the head is no longer needed
        place = _place(parent, planes, code, layout)
        line = widened(to_row(jnp.clip(place.line, 0, last_cells)), sizes.lanes)
        scratch.numbers[q] = jnp.broadcast_to(line, (SUBLANES, sizes.lanes))
        children.append((jnp.where(valid, score, -jnp.inf), beam, valid, parent, place))
    scratch.numbers_to_scalars()
    for q in every:
        target = held.at[0, q * records : (q + 1) * records]
        _fetch(cells, lambda at, q=q: scratch.scalars[q, 0, at], target, arrived)
    _await(held.at[0], arrived)

    lane = iota((records, LANES), 1)
    for q, (score, beam, valid, parent, place) in enumerate(children):
        line = held[0, q * records : (q + 1) * records]
        known = _answers(line, place, layout)
        moved = jnp.where(lane < SCORE, parent, jnp.where(lane == ALLOWED, -1, known))
        moved = jnp.where(lane == level, place.code, moved)
        moved = jnp.where(jnp.broadcast_to(valid, parent.shape), moved, 0)
        score_bits = bits_of(score)
        across = jnp.broadcast_to(score_bits, parent.shape)
        following[q] = jnp.where(lane == SCORE, across, moved)
        fields = (moved[:, at : at + 1] for at in (level, NODE, LO, COUNT))
        for at, column in enumerate((jnp.where(valid, beam, 0), *fields, score_bits)):
            found[q, at : at + 1] = widened(to_row(column), sizes.lanes)


def _read(
    logits: Logits, held: Any, request: int, own: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Return the normalizers of a request's beams, and what :func:`best_codes` takes as listed.

    In ``held`` the codes of the rows of nodes that are not wide take the place of the lines that these
    were read from.
    """
    records = own.shape[0]
    span = slice(request * records, (request + 1) * records)
    wide, codes = _narrow_codes(held[0, span], own)
    held[0, span] = jnp.where(wide, held[0, span], codes)
    normalizer, found = logits.normalizer_and_logits(codes & 0xFFFF, NARROW)
    # Of a run of equal codes, the first row says it.
    again = (pltpu.roll(codes, 1, 1) == codes) & (iota(codes.shape, 1) > 0)
    return normalizer, (~wide, jnp.where((codes >= 0) & ~again, found, -jnp.inf))


def _fetch(table: Any, which: Any, target: Any, arrived: Any) -> None:
    """Start to copy a line for each row of the target."""

    def start(row: Any, _: Any) -> Any:
        source = table.at[pl.ds(which(row), 1)]
        pltpu.make_async_copy(source, target.at[pl.ds(row, 1)], arrived).start()
        return 0

    jax.lax.fori_loop(0, target.shape[0], start, 0, unroll=SUBLANES)


def _await(target: Any, arrived: Any) -> None:
    """Wait for the bytes of all copies into a target together."""
    pltpu.make_async_copy(target, target, arrived).wait()


def _lines_of(held: Any, request: int, records: int) -> list[jax.Array]:
    """Return the lines of a request's beams, int32 [R, 128] each."""
    span = slice(request * records, (request + 1) * records)
    return [held[number, span] for number in range(held.shape[0])]


def _with_heads(planes: list[jax.Array], own: jax.Array, layout: LinesLayout) -> list[jax.Array]:
    """Put the heads of records into the last lanes of a plane, so that one product moves both."""
    lane = iota(own.shape, 1)
    head = pltpu.roll(own, LANES - DATA, 1)
    if layout.words % LANES < LANES - DATA:
        return [*planes[:-1], jnp.where(lane >= LANES - DATA, head, planes[-1])]
    return [*planes, head]


def _filled_up(column: jax.Array, rows: int) -> jax.Array:
    """Fill a column up with what is cut off later."""
    more = rows - column.shape[0]
    if more <= 0:
        return column[:rows]
    return jnp.concatenate([column, jnp.zeros((more, 1), column.dtype)], axis=0)


def _words(
    planes: Sequence[jax.Array], own: jax.Array, layout: LinesLayout, sizes: Sizes
) -> jax.Array:
    """Return the bits of the codes of wide nodes, each word as often as the choice asks for."""
    shape = (own.shape[0], LANES)
    wide, lane = jnp.broadcast_to(own[:, COUNT : COUNT + 1], shape) > NARROW, iota(shape, 1)
    found = []
    for number in range(sizes.word_lanes // LANES):
        bits = planes[number] if number < len(planes) else jnp.zeros(shape, jnp.int32)
        found.append(jnp.where(wide & (lane + number * LANES < layout.words), bits, 0))
    period = LANES // sizes.copies
    if sizes.copies > 1:  # one register: what is behind the words is 0
        bits = found[0]
        for copy in range(1, sizes.copies):
            bits |= pltpu.roll(found[0], copy * period, 1)
        found = [bits]
    return found[0] if len(found) == 1 else jnp.concatenate(found, axis=1)


def _narrow_codes(line: jax.Array, own: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return which nodes are wide, and of the others the codes of their rows; both [R, 128].

    The codes are in the order of the rows, -1 behind the last one.
    """
    shape = line.shape
    lo = jnp.broadcast_to(own[:, LO : LO + 1], shape)
    count = jnp.broadcast_to(own[:, COUNT : COUNT + 1], shape)
    lane = iota(shape, 1)
    shift = lo & (NARROW - 1)
    pair = _lanes(line, (lo & (LANES - NARROW)) + (lane + shift & (NARROW - 1)))
    behind = lane + shift >= NARROW
    codes = jnp.where(behind, jax.lax.shift_right_logical(pair, 16), pair & 0xFFFF)
    wide = count > NARROW
    return wide, jnp.where((lane < count) & ~wide, codes, -1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Place:
    """Where children are to be looked up, and what is known of them already.

    Attributes:
      code: int32 [R, 128], their codes, in every lane.
      line: int32 [R, 1], of cells.
      lane: int32 [R, 1], of the cell in its line.
      known: bool [R, 128], in every lane: there is no cell, and the child's fields are these:
      fields: int32 [R, 128].
    """

    code: jax.Array
    line: jax.Array
    lane: jax.Array
    known: jax.Array
    fields: jax.Array


def _place(
    parent: jax.Array, planes: Sequence[jax.Array], code: jax.Array, layout: LinesLayout
) -> _Place:
    """Return where children are to be looked up.

    Args:
      parent: int32 [R, 128], the records of their parents.
      planes: int32 [R, 128] each, what is held of these.
      code: int32 [R, 1]; of nodes that are not wide the number of the child's first row.
      layout: the static facts of the lines.
    """
    shape, count = parent.shape, parent[:, COUNT : COUNT + 1]
    lane, across = iota(shape, 1), jnp.broadcast_to(code, shape)
    rank = jnp.zeros(shape, jnp.int32)
    for number, plane in enumerate(planes[: layout.each]):
        word = lane + number * LANES
        left = across - word * WORD_BITS  # codes of the word that are before this one
        mask = jnp.where(left >= WORD_BITS, -1, jnp.left_shift(1, jnp.clip(left, 0, 31)) - 1)
        before = jnp.where(word < layout.words, plane & mask, 0)
        rank += jax.lax.population_count(before)
    listed = _lanes(planes[0], across & (LANES - 1))
    same = jnp.where((planes[0] == listed) & (lane < NARROW), 1, 0)
    wide = jnp.broadcast_to(count, shape) > NARROW
    total = _total(jnp.where(wide, rank, same))
    first_cell = layout.words % LANES
    cell = planes[layout.words // LANES][:, first_cell : first_cell + 1] + total
    at = _divided(jnp.where(count > NARROW, cell, 0), layout.cells_of_line)
    rows = jnp.where(lane == COUNT, jnp.broadcast_to(total, shape), 0)
    return _Place(
        code=jnp.where(wide, across, listed),
        line=at[0],
        lane=at[1],
        known=~wide,
        fields=jnp.where(lane == LO, parent + across, rows),
    )


def _total(values: jax.Array) -> jax.Array:
    """Add up the lanes of small whole numbers, int32 [R, 1]: of floats that is one instruction."""
    return jnp.sum(values.astype(jnp.float32), axis=1, keepdims=True).astype(jnp.int32)


def _lanes(values: jax.Array, lane: jax.Array) -> jax.Array:
    """Return the entries at some lane of the same row."""
    return jnp.take_along_axis(values, lane, axis=1, mode="promise_in_bounds")


def _divided(value: jax.Array, by: int) -> tuple[jax.Array, jax.Array]:
    """Divide whole numbers below 2^28 or so: a float's quotient is off by one at most."""
    quotient = (value.astype(jnp.float32) * (1 / by)).astype(jnp.int32)
    rest = value - quotient * by
    up, down = jnp.where(rest >= by, 1, 0), jnp.where(rest < 0, 1, 0)
    quotient = quotient + up - down
    return quotient, value - quotient * by


def _answers(line: jax.Array, place: _Place, layout: LinesLayout) -> jax.Array:
    """Return the fields LO, COUNT and NODE of children whose lines of cells are here; [R, 128]."""
    lane = iota(line.shape, 1)
    number = LANES // 2 if layout.numbered else 0
    ahead = jnp.where(lane == COUNT, 1, jnp.where(lane == NODE, number, 0))
    words = _lanes(line, (jnp.broadcast_to(place.lane, line.shape) + ahead) & (LANES - 1))
    first = pltpu.roll(words, COUNT - LO, 1)
    found = words - jnp.where(lane == COUNT, first, 0)
    return jnp.where(place.known, place.fields, found)
