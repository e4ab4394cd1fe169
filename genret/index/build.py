"""Codes to tries: sort, find where prefixes change, count. No Python loop over items."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import jax
import numpy as np

from genret.index.layout import (
    Layout,
    LayoutRules,
    LevelLayout,
    LevelShape,
    capacity_of,
    steps_for,
)
from genret.index.levels import KINDS, Level, LevelParts, RaggedLevel
from genret.index.trie import Trie
from genret.typing import Array, Bool, Int

DEFAULT_RULES = LayoutRules()

_BLOCK = 1 << 14
"""Rows that are taken apart at a time: their codes fit a core's cache."""


def build_trie(
    codes: np.ndarray,
    codes_per_level: Sequence[int],
    *,
    like: Layout | None = None,
    reserve: float = 0.0,
    rules: LayoutRules = DEFAULT_RULES,
    first_position: int = 0,
) -> Trie:
    """Build the trie of items in any order.

    Args:
      codes: the checked codes, integers [N, L]; rows may be repeated.
      codes_per_level: codes of each level.
      like: a layout to keep where the trie fits it; None chooses one.
      reserve: room to leave, as a share of what is there.
      rules: which way to store a level is chosen by.
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
    return build_sorted(in_order, positions, columns[0].size, codes_per_level, like, reserve, rules)


def build_sorted(
    columns: Iterable[np.ndarray],
    positions: Int[np.ndarray, "N"] | None,
    num_rows: int,
    codes_per_level: Sequence[int],
    like: Layout | None = None,
    reserve: float = 0.0,
    rules: LayoutRules = DEFAULT_RULES,
) -> Trie:
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
      rules: which way to store a level is chosen by.

    Returns:
      The trie, its arrays on the default device.
    """
    if like is not None and num_rows > like.rows:
        like = None
    room = capacity_of(int(num_rows * (1 + reserve))) if like is None else like.rows
    levels = []
    most_rows = 1
    for level, edges in enumerate(_edges(columns, num_rows, codes_per_level, reserve, rules)):
        shape = edges.shape
        layout = _layout(shape, rules) if like is None else like.levels[level]
        kind: type[Level] = layout.kind
        if not kind.fits(layout, shape):
            layout = _layout(shape, rules)
            kind = layout.kind
        parts = LevelParts(
            codes=edges.column if shape.num_edges == num_rows else edges.column[edges.starts],
            above=edges.above,
            starts=edges.starts,
            num_codes=codes_per_level[level],
            number=level,
            layout=layout,
            room=room,
        )
        levels.append(kind.build(parts))
        most_rows = edges.most_rows_below
    if positions is None and like is not None and like.permuted:
        positions = np.arange(num_rows, dtype=np.int32)
    return Trie(
        levels=tuple(levels),
        positions=None if positions is None else _padded(positions, room),
        num_rows=jax.device_put(np.int32(num_rows)),
        layout=Layout(
            rows=room,
            permuted=positions is not None,
            leaf_steps=_leaf_steps(most_rows, like, reserve),
            levels=tuple(level.layout for level in levels),
        ),
    )


def common_layout(
    parts: Sequence[Sequence[np.ndarray]],
    codes_per_level: Sequence[int],
    *,
    whole: Layout,
    rules: LayoutRules,
    like: Layout | None = None,
) -> Layout:
    """Return a layout that the tries of all ranges of a trie's rows fit.

    It has the room to spare that the whole trie has, shared among them.

    Args:
      parts: the codes of each level, integers [N], for each of the ranges.
      codes_per_level: codes of each level.
      whole: the layout of the whole trie.
      rules: which way to store a level is chosen by.
      like: a layout to keep where the tries fit it; None chooses one.
    """
    rows = max(part[0].size for part in parts)
    shapes: list[list[LevelShape]] = []
    most_rows = 1
    for part in parts:
        shapes.append([])
        for edges in _edges(part, part[0].size, codes_per_level, 0.0, rules):
            shapes[-1].append(edges.shape)
        most_rows = max(most_rows, edges.most_rows_below)
    widest = [LevelShape.widest(level) for level in zip(*shapes, strict=True)]
    steps = steps_for(most_rows)
    if like is not None and like.permuted == whole.permuted and rows <= like.rows:
        kinds: list[type[Level]] = [layout.kind for layout in like.levels]
        fits = map(lambda kind, *what: kind.fits(*what), kinds, like.levels, widest)
        if steps <= like.leaf_steps and all(fits):
            return like

    def share(room: int, needed: int) -> int:
        return max(-(-room // len(parts)), needed)

    levels = []
    for shape, own in zip(widest, whole.levels, strict=True):
        layout = _layout(shape, rules)
        nodes = share(own.nodes, shape.num_nodes) if layout.nodes else 0
        room = share(own.edges, shape.num_edges)
        levels.append(dataclasses.replace(layout, edges=room, nodes=nodes))
    return Layout(
        rows=share(whole.rows, rows),
        permuted=whole.permuted,
        leaf_steps=steps,
        levels=tuple(levels),
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


def any_layout(capacity: int, depth: int, rules: LayoutRules) -> Layout:
    """Return a layout that every trie of at most ``capacity`` items fits, whatever its shape."""
    level = LevelLayout(
        kind=RaggedLevel,
        width=4,
        steps=steps_for(capacity),
        edges=capacity,
        first_rows=capacity <= rules.few_edges,
        least_pass=rules.least_pass,
    )
    return Layout(rows=capacity, permuted=True, leaf_steps=level.steps, levels=(level,) * depth)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Edges:
    """The edges of a level; what is an array is valid until the next level's are asked for.

    Attributes:
      column: the code of each row, integers [N].
      above: bool [N], the rows at which a node of the level starts.
      starts: bool [N], the rows at which an edge starts.
      shape: what the level is like.
      most_rows_below: rows of the edge that has the most.
    """

    column: np.ndarray
    above: Bool[np.ndarray, "N"]
    starts: Bool[np.ndarray, "N"]
    shape: LevelShape
    most_rows_below: int


def _edges(
    columns: Iterable[np.ndarray],
    num_rows: int,
    codes_per_level: Sequence[int],
    reserve: float,
    rules: LayoutRules,
) -> Iterator[_Edges]:
    """Find the edges of each level; the arguments are those of :func:`build_sorted`."""
    starts = np.zeros(num_rows, bool)
    starts[:1] = True
    above = starts.copy()  # level -1: the root has all rows
    num_edges = min(1, num_rows)
    most_rows = _longest_run(above, num_edges)
    for level, column in enumerate(columns):
        num_nodes = num_edges
        if num_nodes < num_rows:  # else every row is a node of its own, here and below
            starts[1:] |= column[1:] != column[:-1]
            num_edges = int(np.count_nonzero(starts))
        # Only ragged levels ask, and where there are many rows the answer takes a while.
        wide = most_rows > rules.window_rows
        shape = LevelShape(
            num_codes=codes_per_level[level],
            num_rows=num_rows,
            num_nodes=num_nodes,
            num_edges=num_edges,
            most_rows=most_rows,
            typical_children=_typical_children(above, starts, num_edges) if wide else 1.0,
            reserve=reserve,
        )
        most_rows = most_rows if num_nodes == num_edges else _longest_run(starts, num_edges)
        yield _Edges(
            column=column, above=above, starts=starts, shape=shape, most_rows_below=most_rows
        )
        if num_nodes < num_edges:
            np.copyto(above, starts)


def _layout(shape: LevelShape, rules: LayoutRules) -> LevelLayout:
    """Return the layout of the first kind of level that takes a shape; the last one takes all."""
    found = (kind.layout_for(shape, rules) for kind in KINDS)
    return next(layout for layout in found if layout is not None)


def _typical_children(
    above: Bool[np.ndarray, "N"], starts: Bool[np.ndarray, "N"], num_edges: int
) -> float:
    """Return the children of a node, averaged over rows.

    Args:
      above: the rows at which a node starts.
      starts: the rows at which an edge starts.
      num_edges: how many those are.
    """
    node_rows = np.flatnonzero(above)
    first_edges = np.cumsum(starts, dtype=np.int32)[node_rows]
    children = np.diff(first_edges, append=np.int32(num_edges + 1))
    rows_of_node = np.diff(node_rows, append=above.size)
    return float(np.dot(children.astype(np.float64), rows_of_node)) / above.size


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


def _leaf_steps(most_rows: int, like: Layout | None, reserve: float) -> int:
    steps = steps_for(2 * most_rows if reserve > 0 else most_rows)
    return steps if like is None else max(steps, like.leaf_steps)


def _padded(positions: Int[np.ndarray, "N"], size: int) -> Int[Array, "N2"]:
    return jax.device_put(np.pad(positions, (0, size - positions.size)))


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
