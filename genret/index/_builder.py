"""Codes to tries: sort, find where prefixes change, count. No Python loop over items."""

from collections.abc import Iterable, Sequence

import jax.numpy as jnp
import numpy as np

from genret.index._layout import (
    WINDOW_ROWS,
    Layout,
    LevelLayout,
    LevelShape,
    capacity_of,
    fits,
    level_layout,
    steps_for,
)
from genret.index.bits import WORD_BITS, pack_bits
from genret.index.segment import Level, Segment
from genret.typing import Bool, Int

_BLOCK = 1 << 14
"""Rows that are taken apart at a time: their codes fit a core's cache."""


def build_segment(
    codes: np.ndarray,
    codes_per_level: Sequence[int],
    *,
    like: Layout | None = None,
    reserve: float = 0.0,
    first_position: int = 0,
) -> Segment:
    """Build the trie of items in any order.

    Args:
      codes: the checked codes, integers [N, L]; rows may be repeated.
      codes_per_level: codes of each level.
      like: a layout to keep where the trie fits it; None chooses one.
      reserve: room to leave, as a share of what is there.
      first_position: position of the first item.

    Returns:
      The trie, its arrays on the default device.
    """
    columns = columns_of(codes, codes_per_level)
    order = sort_rows(columns, codes_per_level)
    positions = order
    if first_position:
        positions = np.arange(columns[0].size, dtype=np.int32) if order is None else order
        positions = positions + np.int32(first_position)
    in_order = (column if order is None else column[order] for column in columns)
    return build_sorted(in_order, positions, columns[0].size, codes_per_level, like, reserve)


def build_sorted(
    columns: Iterable[np.ndarray],
    positions: Int[np.ndarray, "N"] | None,
    num_rows: int,
    codes_per_level: Sequence[int],
    like: Layout | None = None,
    reserve: float = 0.0,
) -> Segment:
    """Build the trie of items that are sorted by their codes and then by position.

    A row *starts* an edge of level ``l`` when its first ``l + 1`` codes differ from those of the
    row before it. Edges of level ``l``, in the order of their rows, are the nodes of level
    ``l + 1``.

    Args:
      columns: the codes of each level, integers [N]; asked for one after the other.
      positions: item position of each row; None: its number.
      num_rows: N.
      codes_per_level: codes of each level.
      like: a layout to keep where the trie fits it; None chooses one.
      reserve: room to leave, as a share of what is there.

    Returns:
      The trie, its arrays on the default device.
    """
    if like is not None and num_rows > like.rows:
        like = None
    room = capacity_of(int(num_rows * (1 + reserve))) if like is None else like.rows
    starts = np.zeros(num_rows, bool)
    starts[:1] = True
    above = starts.copy()  # level -1: the root has all rows
    num_edges, levels = min(1, num_rows), []
    for level, column in enumerate(columns):
        num_nodes = num_edges
        if num_nodes < num_rows:  # else every row is a node of its own, here and below
            starts[1:] |= column[1:] != column[:-1]
            num_edges = int(np.count_nonzero(starts))
        shape = _shape(above, starts, num_nodes, num_edges, codes_per_level[level])
        if like is not None and fits(like.levels[level], shape):
            layout = like.levels[level]
        else:
            layout = level_layout(shape, num_rows, reserve)
        levels.append(_level(column, above, starts, num_edges, shape.num_codes, layout, room))
        if num_nodes < num_edges:
            np.copyto(above, starts)
    if positions is None and like is not None and like.permuted:
        positions = np.arange(num_rows, dtype=np.int32)
    return Segment(
        levels=tuple(levels),
        positions=None if positions is None else jnp.asarray(_padded(positions, room)),
        num_rows=jnp.asarray(num_rows, jnp.int32),
        layout=Layout(
            rows=room,
            permuted=positions is not None,
            leaf_steps=_leaf_steps(above, num_edges, like, reserve),
            levels=tuple(level.layout for level in levels),
        ),
    )


def sort_rows(
    columns: Sequence[np.ndarray], codes_per_level: Sequence[int]
) -> Int[np.ndarray, "N"] | None:
    """Return the order of the items by their codes, then by position; None when that is theirs.

    Several levels are packed into one 64-bit key. Most items differ in the first key already, so
    only those that do not are sorted by the others.
    """
    if _ascending(columns):
        return None
    keys: list[np.ndarray] = []
    room = 0
    for column, count in zip(columns, codes_per_level, strict=True):
        bits = max(1, (count - 1).bit_length())
        if bits > room:
            keys.append(column.astype(np.uint64))
            room = 64 - bits
        else:
            keys[-1] <<= np.uint64(bits)
            keys[-1] |= column.astype(np.uint64)
            room -= bits
    order = np.argsort(keys[0])
    first = keys[0][order]
    equal = first[1:] == first[:-1]
    del first
    tied = np.zeros(order.size, bool)
    tied[1:] = equal
    tied[:-1] |= equal
    where = np.flatnonzero(tied)
    items = np.sort(order[where])  # equal items then stay in the order of their positions
    order[where] = items[np.lexsort([key[items] for key in keys[::-1]])]
    return order.astype(np.int32)


def columns_of(codes: np.ndarray, codes_per_level: Sequence[int]) -> list[np.ndarray]:
    """Return the codes of each level next to each other, and small: they are read several times.

    All levels of some rows are taken before the next rows: each byte comes from memory once.

    Args:
      codes: the checked codes, integers of any type [N, L].
      codes_per_level: codes of each level.
    """
    columns = [np.empty(len(codes), code_dtype(count)) for count in codes_per_level]
    for first in range(0, len(codes), _BLOCK):
        rows = slice(first, first + _BLOCK)
        for level, column in enumerate(columns):
            column[rows] = codes[rows, level]
    return columns


def code_dtype(count: int) -> np.dtype:
    """Return the smallest type that stores the codes of a level: uint8, uint16 or uint32."""
    return np.min_scalar_type(count - 1)


def _shape(
    above: Bool[np.ndarray, "N"],
    starts: Bool[np.ndarray, "N"],
    num_nodes: int,
    num_edges: int,
    num_codes: int,
) -> LevelShape:
    """Measure a level; ``above`` and ``starts``: the rows at which its nodes and edges begin."""
    most_rows = _longest_run(above, num_nodes)
    typical = 1.0
    if most_rows > WINDOW_ROWS:  # else nobody asks
        node_rows = np.flatnonzero(above)
        first_edges = np.cumsum(starts, dtype=np.int32)[node_rows]
        children = np.diff(first_edges, append=np.int32(num_edges + 1))
        rows_of_node = np.diff(node_rows, append=above.size)
        typical = float(np.dot(children.astype(np.float64), rows_of_node)) / above.size
    return LevelShape(
        num_codes=num_codes,
        num_nodes=num_nodes,
        num_edges=num_edges,
        most_rows=most_rows,
        typical_children=typical,
    )


def _longest_run(starts: Bool[np.ndarray, "N"], num_starts: int) -> int:
    """Return the most rows from one start to before the next; at least 1."""
    if num_starts == starts.size:
        return 1
    if 2 * num_starts <= starts.size:
        return int(np.diff(np.flatnonzero(starts), append=starts.size).max())
    # Most rows start something: runs of those that do not are fewer.
    others = np.flatnonzero(~starts)
    ends = np.flatnonzero(np.diff(others) != 1)
    bounds = np.concatenate([[-1], ends, [others.size - 1]])
    return 1 + int(np.diff(bounds).max())


def _level(
    column: np.ndarray,
    above: Bool[np.ndarray, "N"],
    starts: Bool[np.ndarray, "N"],
    num_edges: int,
    num_codes: int,
    layout: LevelLayout,
    room: int,
) -> Level:
    codes = column if num_edges == column.size else column[starts]
    masks = first_row_of = None
    if layout.kind == "dense":
        nodes = np.cumsum(above[starts], dtype=np.int64) - 1
        masks = jnp.asarray(code_masks(nodes, codes, layout.nodes, num_codes))
    if layout.first_rows:
        first_rows = np.full(layout.edges + 1, starts.size, np.int32)
        first_rows[: codes.size] = np.flatnonzero(starts)
        first_row_of = jnp.asarray(first_rows)
    return Level(
        codes=jnp.asarray(_padded(codes, layout.edges)),
        starts=None if layout.kind == "single" else jnp.asarray(pack_bits(starts, room)),
        first_rows=first_row_of,
        masks=masks,
        num_codes=num_codes,
        layout=layout,
    )


def _leaf_steps(
    starts: Bool[np.ndarray, "N"], num_starts: int, like: Layout | None, reserve: float
) -> int:
    most_rows = _longest_run(starts, num_starts)
    steps = steps_for(2 * most_rows if reserve > 0 else most_rows)
    return steps if like is None else max(steps, like.leaf_steps)


def code_masks(
    nodes: Int[np.ndarray, "E"], codes: np.ndarray, num_nodes: int, num_codes: int
) -> np.ndarray:
    """Return a bit for each code of each node, uint32 [num_nodes, ceil(num_codes / 32)].

    Args:
      nodes: the node of each edge, ascending.
      codes: the code of each edge, ascending in a node.
      num_nodes: rows of the result.
      num_codes: codes of the level.
    """
    words = np.zeros((num_nodes, -(-num_codes // WORD_BITS)), np.uint32)
    if codes.size:
        word = nodes * words.shape[1] + codes // WORD_BITS
        bits = np.uint32(1) << (codes % WORD_BITS).astype(np.uint32)
        first = np.flatnonzero(np.diff(word, prepend=-1))
        words.reshape(-1)[word[first]] = np.bitwise_or.reduceat(bits, first)
    return words


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([values, np.zeros(size - values.size, values.dtype)])


def _ascending(columns: Sequence[np.ndarray]) -> bool:
    """Say whether rows are in lexicographic order already."""
    undecided = np.ones(max(0, columns[0].size - 1), bool)  # pairs of rows that are equal so far
    for column in columns:
        if (undecided & (column[1:] < column[:-1])).any():
            return False
        undecided &= column[1:] == column[:-1]
        if not undecided.any():
            break
    return True
