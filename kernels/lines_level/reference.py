"""The op in plain JAX, and its parts, which a search that restricts the items takes by themselves."""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from ..dense_level.reference import dense_level
from ..rows_level.layout import ALLOWED, COUNT, LANES, LO, NODE, SCORE
from .layout import NARROW, WORD_BITS, LinesLayout

Load = Callable[[jax.Array, jax.Array], jax.Array]
"""Returns some lines of a table: of int32 [T, 128] and int32 [...], int32 [..., 128]."""

Children = tuple[jax.Array, jax.Array, jax.Array]
"""Numbers, first rows and ends of some children, int32 [...] each."""


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
) -> tuple[jax.Array, ...]:
    """Extend the beams by one code; see :func:`genret_kernels.lines_level.api.lines_level`."""
    own = state[:, :beams]
    nodes, lo, count = own[..., NODE], own[..., LO], own[..., COUNT]
    words = words_of(lines, nodes, lo, count, layout=layout, load=gathered)
    base = jax.lax.bitcast_convert_type(own[..., SCORE], jnp.float32)
    scores, parents, codes = dense_level(logits, words, base, beams=beams)
    valid = (scores > -jnp.inf) & (jnp.arange(beams, dtype=jnp.int32)[None] < limit[:, None])
    scores = jnp.where(valid, scores, -jnp.inf)
    parents, codes = jnp.where(valid, parents, 0), jnp.where(valid, codes, 0)

    own = jnp.take_along_axis(own, parents[..., None], axis=1, mode="clip")
    nodes, lo, count = own[..., NODE], own[..., LO], own[..., COUNT]
    find = partial(cells_at, cells, numbered=layout.numbered, load=gathered)
    found = children_of(lines, nodes, lo, count, codes, layout=layout, load=gathered, find=find)
    number, first, end = (jnp.where(valid, each, 0) for each in found)
    lane = jnp.arange(LANES, dtype=jnp.int32).reshape(1, 1, LANES)
    fields = {
        level: codes, SCORE: jax.lax.bitcast_convert_type(scores, jnp.int32), LO: first,
        COUNT: end - first, ALLOWED: jnp.full_like(first, -1), NODE: number,
    }  # fmt: skip
    for at, value in fields.items():
        own = jnp.where(lane == at, value[..., None], own)
    empty = jnp.where(lane == SCORE, _bits_of_nothing(), 0)
    own = jnp.where(valid[..., None], own, empty)
    fill = jnp.broadcast_to(empty, (own.shape[0], state.shape[1] - beams, LANES))
    return jnp.concatenate([own, fill], axis=1), parents, codes, number, first, end, scores


def _bits_of_nothing() -> jax.Array:
    return jax.lax.bitcast_convert_type(jnp.float32(-jnp.inf), jnp.int32)


def gathered(lines: jax.Array, which: jax.Array) -> jax.Array:
    """Return some lines of a table, as XLA gathers them: see :data:`Load`."""
    return lines.at[which].get(mode="clip")


def pick(line: jax.Array, lane: jax.Array) -> jax.Array:
    """Return one word of each line: a sum over the line, of which all but that word is masked.

    >>> pick(jnp.arange(128)[None], jnp.array([5])).tolist()
    [5]
    """
    place = jnp.arange(LANES, dtype=jnp.int32).reshape(*[1] * lane.ndim, LANES)
    return jnp.where(place == lane[..., None], line, 0).sum(axis=-1, dtype=line.dtype)


def words_of(
    lines: jax.Array,
    nodes: jax.Array,
    lo: jax.Array,
    count: jax.Array,
    *,
    layout: LinesLayout,
    load: Load,
) -> jax.Array:
    """Return the codes of the children of each node, as bits.

    Args:
      lines: int32 [T, 128].
      nodes: int32 [B, M], numbers of wide nodes.
      lo: int32 [B, M], their first rows.
      count: int32 [B, M], how many rows they have.
      layout: the static facts of the lines.
      load: reads lines.

    Returns:
      uint32 [B, M, W], 0 where ``count`` is.
    """
    held = _held(lines, nodes, lo, count, layout, load)
    place = jnp.arange(layout.words, dtype=jnp.int32).reshape(1, 1, 1, -1)
    codes = held.codes[..., None]
    bit = jnp.uint32(1) << (codes % WORD_BITS).astype(jnp.uint32)
    # Of a run of equal codes, the first row says it: each bit is there once.
    own = held.first[..., None] & (codes // WORD_BITS == place)
    narrow = jnp.where(own, bit, 0).sum(axis=2, dtype=jnp.uint32)
    return jnp.where(held.wide[..., None], held.bits, narrow)


def children_of(
    lines: jax.Array,
    nodes: jax.Array,
    lo: jax.Array,
    count: jax.Array,
    codes: jax.Array,
    *,
    layout: LinesLayout,
    load: Load,
    find: Callable[[jax.Array], Children],
) -> Children:
    """Return where the children of nodes along some codes are, if there are any.

    Args:
      lines: int32 [T, 128].
      nodes: int32 [B, K], numbers of wide nodes.
      lo: int32 [B, K], their first rows.
      count: int32 [B, K], how many rows they have.
      codes: int32 [B, K].
      layout: the static facts of the lines.
      load: reads lines.
      find: returns what cells say, such as :func:`cells_at`.
    """
    held = _held(lines, nodes, lo, count, layout, load)
    word = jnp.arange(layout.words, dtype=jnp.int32).reshape(*[1] * codes.ndim, -1)
    below = codes[..., None] - word * WORD_BITS
    before = held.bits & low_bits(below)
    rank = jax.lax.population_count(before).astype(jnp.int32).sum(axis=-1, dtype=jnp.int32)
    number, first, end = find(jnp.where(held.wide, held.cell + rank, 0))
    own = held.inside & (held.codes <= codes[..., None])
    until = own.sum(axis=-1, dtype=jnp.int32)
    same = (own & (held.codes == codes[..., None])).sum(axis=-1, dtype=jnp.int32)
    return (
        jnp.where(held.wide, number, 0),
        jnp.where(held.wide, first, lo + until - same),
        jnp.where(held.wide, end, lo + until),
    )


def low_bits(count: jax.Array) -> jax.Array:
    """Return words whose lowest bits are set, uint32: none below 1, all from 32 on."""
    some = jnp.uint32(1) << jnp.clip(count, 0, WORD_BITS - 1).astype(jnp.uint32)
    return jnp.where(count >= WORD_BITS, jnp.uint32(0xFFFFFFFF), some - 1)


def cells_at(cells: jax.Array, cell: jax.Array, *, numbered: bool, load: Load) -> Children:
    """Return the numbers of cells and their rows: from theirs to where the next one begins."""
    line, lane = jnp.divmod(cell, (LANES // 2 if numbered else LANES) - 1)
    found = load(cells, line)
    first, end = pick(found, lane), pick(found, lane + 1)
    return (pick(found, lane + LANES // 2) if numbered else first), first, end


def _lines_from(lines: jax.Array, first: jax.Array, each: int, load: Load) -> jax.Array:
    """Return some lines from each first one on, side by side."""
    number = jnp.arange(each, dtype=jnp.int32).reshape(*[1] * first.ndim, each)
    which = first[..., None] + number
    return load(lines, which).reshape(*first.shape, each * LANES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Held:
    """What the lines of ragged nodes hold.

    Attributes:
      wide: bool [B, M], whether a node is wide; if so:
      bits: uint32 [B, M, W], its codes.
      cell: int32 [B, M], its first cell. If not:
      codes: int32 [B, M, 32], the codes of 32 rows, from some row on and then from its first.
      inside: bool [B, M, 32], which of these are its rows.
      first: bool [B, M, 32], at which a child begins.
    """

    wide: jax.Array
    bits: jax.Array
    cell: jax.Array
    codes: jax.Array
    inside: jax.Array
    first: jax.Array


def _held(
    lines: jax.Array,
    nodes: jax.Array,
    lo: jax.Array,
    count: jax.Array,
    layout: LinesLayout,
    load: Load,
) -> _Held:
    """Read the lines of ragged nodes."""
    words, wide = layout.words, count > NARROW
    line = _lines_from(lines, layout.first_lines(nodes, lo, count), layout.each, load)
    group = (lo % LANES // NARROW)[..., None]
    pairs = line[..., :NARROW]
    for other in range(1, LANES // NARROW):
        pairs = jnp.where(group == other, line[..., other * NARROW :][..., :NARROW], pairs)
    lane = jnp.arange(NARROW, dtype=jnp.int32).reshape(1, 1, NARROW)
    shift = (lo % NARROW)[..., None]
    codes = jnp.where(lane >= shift, pairs, pairs >> 16) & 0xFFFF
    row = (lane - shift) % NARROW  # of the node
    inside = (row < count[..., None]) & ~wide[..., None]
    again = (row > 0) & (jnp.roll(codes, 1, axis=-1) == codes)
    return _Held(
        wide=wide,
        bits=jax.lax.bitcast_convert_type(line[..., :words], jnp.uint32),
        cell=line[..., words],
        codes=codes,
        inside=inside,
        first=inside & ~again,
    )
