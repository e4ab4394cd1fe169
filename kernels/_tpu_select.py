"""Choosing the best of many numbers inside a TPU kernel, exactly and without sorting them.

The m-th largest number is found by bisection on the bits of the numbers, a few bits a round. Those
that are larger, and as many equal ones as are needed, are moved into one column by their position
(a sum over the mask of what comes before, taken on the matrix unit), and only these m are ranked,
each against each. Where they are numbered row by row, the matrix unit moves them as well: it
brings each slot of the column the row that its number is in.

Numbers lie in a matrix whose columns are lanes. They are numbered either row by row or column by
column; of equal numbers, the one with the lower number comes first.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from ._tpu import LANES

SUBLANES = 8
"""Rows of a vector register."""

ROUND_BITS = 4
"""Bits of the threshold that a round of the bisection finds: 16 thresholds fill two registers."""

FEW_BITS = (3, 2)
"""The same where there are many rows: more rounds of fewer thresholds are less work in all."""

MANY = 8
"""Matrices from which on the second of these is taken: they hide each other's waits between rounds."""

UNROLLED = 32
"""Rows up to which a loop over them is unrolled."""

LOWEST = -(2**31)
"""The key of what is no candidate: below that of every number."""

NOWHERE = 1 << 20
"""The position of what is not chosen; a position is below it."""


def iota(shape: tuple[int, ...], axis: int) -> jax.Array:
    """Return the index along an axis, int32."""
    return jax.lax.broadcasted_iota(jnp.int32, shape, axis)


def round_up(count: int, step: int) -> int:
    """Round up to a multiple of ``step``."""
    return -(-count // step) * step


def bits_of(values: jax.Array) -> jax.Array:
    """Return the bits of float32 numbers as int32."""
    return jax.lax.bitcast_convert_type(values, jnp.int32)


def floats_of(bits: jax.Array) -> jax.Array:
    """Undo :func:`bits_of`."""
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def sortable(values: jax.Array) -> jax.Array:
    """Return int32 keys in the order of float32 numbers without NaN; both zeros have one key."""
    bits = bits_of(values + 0.0)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def over_rows(count: int, body: Any, start: Any) -> Any:
    """Carry a value over rows, ``body(row, value)``: unrolled where there are few."""
    if count <= UNROLLED:
        for row in range(count):
            start = body(row, start)
        return start
    unroll = next(n for n in (8, 4, 2, 1) if count % n == 0)
    return jax.lax.fori_loop(0, count, body, start, unroll=unroll)


def thresholds(keys: Sequence[Any], rows: int, m: int) -> list[jax.Array]:
    """Return the m-th largest key of each of several matrices.

    Args:
      keys: references to int32 [R, C], R and C filled up to whole registers with ``LOWEST``.
      rows: rows that may hold candidates.
      m: how many are to be chosen.

    Returns:
      For each, int32 [8, 128], the same number everywhere; ``LOWEST``: there are fewer than m.
    """
    few = rows <= UNROLLED
    bits = ROUND_BITS if few else FEW_BITS[len(keys) >= MANY]
    found = [jnp.full((SUBLANES, LANES), LOWEST, jnp.int32) for _ in keys]
    for end in range(32, 0, -bits):
        shift = max(0, end - bits)  # the last round takes the bits that are left
        of_round = _digits if few else partial(_few_digits, bits=end - shift)
        digits = of_round(keys, found, shift, rows, m)
        found = [low + (digit << shift) for low, digit in zip(found, digits, strict=True)]
    return found


def _digits(
    keys: Sequence[Any], found: Sequence[jax.Array], shift: int, rows: int, m: int
) -> list[jax.Array]:
    """Return the next ``ROUND_BITS`` bits of thresholds, each of 16 tried by a row of a register."""
    shape = (SUBLANES, LANES)
    tries = [iota(shape, 0) + SUBLANES * half for half in range((1 << ROUND_BITS) // SUBLANES)]
    limits = [[low + (digit << shift) for digit in tries] for low in found]
    return [_digit(own, tries, m) for own in _count_from(keys, limits, rows)]


def _few_digits(
    keys: Sequence[Any], found: Sequence[jax.Array], shift: int, rows: int, m: int, *, bits: int
) -> list[jax.Array]:
    """Return the next bits of thresholds, each tried against whole registers of keys."""
    shape = (SUBLANES, LANES)
    # As int32: the upper half of the digits of the first round are negative numbers.
    steps = [digit << shift for digit in range(1, 1 << bits)]
    steps = [step - (1 << 32 if step >= 1 << 31 else 0) for step in steps]

    def count(block: Any, counts: Any) -> Any:
        counts = [list(own) for own in counts]
        for ref, own, low in zip(keys, counts, found, strict=True):
            for start in range(0, ref.shape[1], LANES):
                span = pl.ds(block * SUBLANES, SUBLANES)
                part = ref[span, start : start + LANES]
                for number, step in enumerate(steps):
                    own[number] = own[number] + jnp.where(part >= low + step, 1.0, 0.0)
        return counts

    blocks = round_up(rows, SUBLANES) // SUBLANES
    zeros = [[jnp.zeros(shape, jnp.float32)] * len(steps) for _ in keys]
    digits = []
    for own in over_rows(blocks, count, zeros):
        digit = jnp.zeros(shape, jnp.int32)
        for each in own:
            total = jnp.sum(jnp.sum(each, axis=0, keepdims=True), axis=1, keepdims=True)
            digit += jnp.where(jnp.broadcast_to(total, shape) >= m, 1, 0)
        digits.append(digit)
    return digits


def _count_from(
    keys: Sequence[Any], limits: Sequence[Sequence[jax.Array]], rows: int
) -> list[list[jax.Array]]:
    """Return how many keys of each lane are at least each limit."""
    shape = (SUBLANES, LANES)

    def count(row: Any, counts: Any) -> Any:
        counts = [list(own) for own in counts]
        for ref, own, bounds in zip(keys, counts, limits, strict=True):
            for start in range(0, ref.shape[1], LANES):
                line = jnp.broadcast_to(ref[pl.ds(row, 1), start : start + LANES], shape)
                for number, bound in enumerate(bounds):
                    own[number] = own[number] + jnp.where(line >= bound, 1.0, 0.0)
        return counts

    return over_rows(rows, count, [[jnp.zeros(shape, jnp.float32)] * len(x) for x in limits])


def _digit(counts: Sequence[jax.Array], tries: Sequence[jax.Array], m: int) -> jax.Array:
    """Return the largest digit that leaves m keys."""
    shape = (SUBLANES, LANES)
    enough = jnp.zeros(shape, jnp.float32)
    for own, digit in zip(counts, tries, strict=True):
        total = jnp.broadcast_to(jnp.sum(own, axis=1, keepdims=True), shape)
        enough += jnp.where((total >= m) & (digit > 0), 1.0, 0.0)
    # The counts fall as the digit rises, so the digits that leave enough are 1 to the one wanted.
    return jnp.broadcast_to(jnp.sum(enough, axis=0, keepdims=True), shape).astype(jnp.int32)


def positions(
    keys: jax.Array,
    threshold: jax.Array,
    m: int,
    *,
    by_column: bool,
) -> jax.Array:
    """Return where in the column of the chosen each number goes.

    Args:
      keys: int32 [R, C].
      threshold: int32 [8, 128], from :func:`thresholds`.
      m: how many are to be chosen.
      by_column: whether the numbers are numbered column by column; else row by row.

    Returns:
      float32 [R, C], 0 to m - 1 in the order of the numbers; ``NOWHERE``: not chosen.
    """
    rows, lanes = keys.shape
    limit = jnp.broadcast_to(threshold[:1, :1], keys.shape)
    above, equal = keys > limit, keys == limit
    one = jnp.concatenate([jnp.where(x, 1.0, 0.0) for x in (above, equal)], axis=0)
    total = jnp.sum(one[:rows], axis=(0, 1), keepdims=True)
    before_lane = jnp.where(iota((lanes, lanes), 0) < iota((lanes, lanes), 1), 1.0, 0.0)
    before_row = jnp.where(iota((rows, rows), 1) < iota((rows, rows), 0), 1.0, 0.0)
    if by_column:
        sums = [jnp.sum(x, axis=0, keepdims=True) for x in (one[:rows], one[rows:])]
        across = [product(jnp.broadcast_to(x, (SUBLANES, lanes)), before_lane)[:1] for x in sums]
        before = [
            jnp.broadcast_to(outer, keys.shape) + product(before_row, x)
            for outer, x in zip(across, (one[:rows], one[rows:]), strict=True)
        ]
    else:
        inside = product(one, before_lane)
        of_row = jnp.broadcast_to(jnp.sum(one, axis=1, keepdims=True), one.shape)
        before = [
            inside[start : start + rows] + product(before_row, of_row[start : start + rows])
            for start in (0, rows)
        ]
    missing = m - jnp.broadcast_to(total, keys.shape)
    chosen = above | (equal & (before[1] < missing))
    # The equal ones that come before and are chosen too: no more than there is room for.
    return jnp.where(chosen, before[0] + jnp.minimum(before[1], missing), float(NOWHERE))


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Multiply matrices of whole numbers up to 256 exactly: bfloat16 holds each of them."""
    return jnp.dot(
        a.astype(jnp.bfloat16), b.astype(jnp.bfloat16), preferred_element_type=jnp.float32
    )


def compact(
    values: Sequence[Any], numbers: Any, places: Sequence[Any], rows: int, slots: int
) -> list[tuple[jax.Array, jax.Array]]:
    """Move the chosen numbers of several matrices into a column each.

    Args:
      values: references to float32 [R, C].
      numbers: function of a row and a first lane: float32 [1, 128], what to return of each number
        beside itself.
      places: references to float32 [R, C], from :func:`positions`.
      rows: rows that may hold candidates.
      slots: length of a column, at least m.

    Returns:
      For each, float32 [slots, 1] twice: the numbers and what belongs to them; 0 where there is none.
    """
    shape = (slots, LANES)
    slot = iota(shape, 0).astype(jnp.float32)

    def take(row: Any, found: Any) -> Any:
        following = []
        for (best, which), ref, places_ref in zip(found, values, places, strict=True):
            for start in range(0, places_ref.shape[1], LANES):
                span = slice(start, start + LANES)
                hit = jnp.broadcast_to(places_ref[pl.ds(row, 1), span], shape) == slot
                best = jnp.where(hit, jnp.broadcast_to(ref[pl.ds(row, 1), span], shape), best)
                which = jnp.where(hit, jnp.broadcast_to(numbers(row, start), shape), which)
            following.append((best, which))
        return following

    zero = jnp.zeros(shape, jnp.float32)
    found = over_rows(rows, take, [(zero, zero) for _ in values])
    total = lambda x: jnp.sum(x, axis=1, keepdims=True)  # noqa: E731
    return [(total(best), total(which)) for best, which in found]


def compact_rows(values: Any, places: Any, slots: int) -> tuple[jax.Array, jax.Array]:
    """Move the chosen numbers of a matrix into a column, where they are numbered row by row.

    The chosen ones of a row are neighbors in the column. So a one-hot matrix of slots and rows says
    whose lanes each slot takes, the matrix unit brings these, and one of the lanes is the slot's.

    Args:
      values: float32 [R, 128].
      places: float32 [R, 128], from :func:`positions`.
      slots: length of the column, at least m.

    Returns:
      float32 [slots, 1] twice: the numbers, and ``row * 128 + lane``; 0 where there is none.
    """
    rows = places.shape[0]
    shape = (slots, rows)
    chosen = places < NOWHERE
    first = jnp.min(places, axis=1, keepdims=True)
    count = jnp.sum(jnp.where(chosen, 1.0, 0.0), axis=1, keepdims=True)
    begin, end = (jnp.broadcast_to(to_row(x)[:, :rows], shape) for x in (first, first + count))
    slot = iota(shape, 0).astype(jnp.float32)
    owns = (slot >= begin) & (slot < end)
    column = lambda x: jnp.sum(jnp.where(owns, x, 0.0), axis=1, keepdims=True)  # noqa: E731
    row, start = column(iota(shape, 1).astype(jnp.float32)), column(begin)
    inside = jnp.where(chosen, places - first, float(LANES)).astype(jnp.int32)  # of the row
    whose, bits = taken(owns, inside, 1), taken(owns, bits_of(values), 4)
    lane = iota((slots, LANES), 1)
    wanted = iota((slots, 1), 0) - start.astype(jnp.int32)
    hit = whose == jnp.broadcast_to(wanted, lane.shape)
    hit &= jnp.broadcast_to(column(1.0) > 0, lane.shape)
    total = lambda x: jnp.sum(jnp.where(hit, x, 0.0), axis=1, keepdims=True)  # noqa: E731
    return total(floats_of(bits)), total(lane.astype(jnp.float32)) + row * LANES


def taken(owns: jax.Array, values: jax.Array, num_bytes: int) -> jax.Array:
    """Return the rows that a one-hot matrix names: the matrix times the bytes of the values.

    Bytes are exact in bfloat16 and there is one of them in each sum.

    Args:
      owns: bool [S, R], at most one True a row.
      values: int32 [R, 128].
      num_bytes: bytes that may be set, from the lowest on.

    Returns:
      int32 [S, 128]; 0 where no row is named.
    """
    planes = [(values >> 8 * byte) & 255 for byte in range(num_bytes)]
    stacked = jnp.concatenate([x.astype(jnp.float32) for x in planes], axis=1)
    found = product(jnp.where(owns, 1.0, 0.0), stacked).astype(jnp.int32)
    whole = found[:, :LANES]
    for byte in range(1, num_bytes):
        whole |= found[:, byte * LANES : (byte + 1) * LANES] << 8 * byte
    return whole


def turned(values: jax.Array, rows: int, lanes: int) -> jax.Array:
    """Return the first lanes as rows: [R, 128] to [rows, lanes], -inf past R."""
    fill = jnp.full((lanes - values.shape[0], LANES), -jnp.inf)
    whole = jnp.concatenate([values, fill], axis=0) if lanes > values.shape[0] else values
    parts = [whole[at : at + LANES].T[:rows] for at in range(0, lanes, LANES)]
    return jnp.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def to_row(column: jax.Array) -> jax.Array:
    """Turn [R, 1] into [1, C], C being R filled up to whole registers with 0."""
    rows = column.shape[0]
    shape = (rows, round_up(rows, LANES))
    on_diagonal = iota(shape, 0) == iota(shape, 1)
    spread = jnp.where(on_diagonal, jnp.broadcast_to(column, shape), 0)
    return jnp.sum(spread, axis=0, keepdims=True)


def ranked(values: jax.Array, m: int) -> jax.Array:
    """Return which of the first m numbers of a column comes at each rank, as a matrix of one bit a row.

    Args:
      values: float32 [R, 1]; equal ones are ordered as they lie.
      m: how many count; the others come last.

    Returns:
      bool [R, C]: row r is True at the lane of the number with rank r; C as in :func:`to_row`.
    """
    rows = values.shape[0]
    shape = (rows, round_up(rows, LANES))
    row, lane = iota(shape, 0), iota(shape, 1)
    own = jnp.where(iota((rows, 1), 0) < m, values, -jnp.inf)
    mine, other = jnp.broadcast_to(own, shape), jnp.broadcast_to(to_row(own), shape)
    # How many rows beat each lane.
    beats = (mine > other) | ((mine == other) & (row < lane))
    rank = jnp.sum(jnp.where(beats, 1.0, 0.0), axis=0, keepdims=True)
    return (jnp.broadcast_to(rank, shape) == row.astype(jnp.float32)) & (lane < rows)


def ranked_together(columns: Sequence[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Return the best of a few columns in their order, each number compared with each other one.

    Args:
      columns: float32 [R, 1] each, S of them; the number of row r of column s is ``r S + s``, and of equal
        values the one with the lower number comes first.

    Returns:
      float32 [R, 1] twice: the R largest values, and their numbers.
    """
    rows = columns[0].shape[0]
    shape = (rows, round_up(rows, LANES))
    row, lane = iota(shape, 0), iota(shape, 1)
    before, not_after = row < lane, row <= lane
    mine = [jnp.broadcast_to(column, shape) for column in columns]
    others = [jnp.broadcast_to(to_row(column), shape) for column in columns]
    values, numbers = jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.float32)
    for place, other in enumerate(others):
        beaten = jnp.zeros(shape, jnp.float32)
        for number, own in enumerate(mine):
            first = not_after if number < place else before
            beaten += jnp.where((own > other) | ((own == other) & first), 1.0, 0.0)
        rank = jnp.sum(beaten, axis=0, keepdims=True)
        here = (jnp.broadcast_to(rank, shape) == row.astype(jnp.float32)) & (lane < rows)
        values = jnp.where(here, other, values)
        numbers = jnp.where(here, (lane * len(columns) + place).astype(jnp.float32), numbers)
    total = lambda x: jnp.sum(x, axis=1, keepdims=True)  # noqa: E731
    return total(values), total(numbers)


def in_order(order: jax.Array, column: jax.Array) -> jax.Array:
    """Put a column into the order of :func:`ranked`; [R, 1]."""
    spread = jnp.broadcast_to(to_row(column), order.shape)
    return jnp.sum(jnp.where(order, spread, 0), axis=1, keepdims=True)
