"""What an accelerator reads beside the trie: the remaining codes of each row, side by side."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from genret.index.levels import DenseLevel, Level, SingleLevel, WindowLevel
from genret.pytree import register_pytree, static_field
from genret.typing import Array, Int

PLATFORMS = ("cpu", "gpu", "tpu")

LANES = 128
"""Lanes of a vector register of a TPU."""

MOST_CELLS = 1 << 26
"""Cells (node, code) of a dense level whose first rows are stored: 256 MiB."""


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class AcceleratedLayout:
    """Arrays that spare an accelerator most of its gathers; made from the trie, never on disk.

    A CPU finds the children of a node by bit arithmetic on a few cached words. An accelerator pays
    for each gather, whatever its size. So at the first level whose nodes have few rows it reads all
    remaining codes of a beam's rows at once; from there on, beams carry what they need.

    Attributes:
      platform: "gpu" or "tpu": what the arrays are for.
      first: the first level from which on all nodes have few rows; L: there is none.
      stride: rows of a node of that level, at most.
      pairs: P, words of a row: two levels a word, the earlier one in the lower 16 bits, from the
        first level on.
      words: int32 [T, 128], the words of W rows in each line: those of pair p in the W lanes from
        p W on. W is the largest power of two for which the pairs fit. A TPU reads whole lines at
        once (:func:`genret_kernels.load_rows.load_rows`), but slices that begin anywhere one by one.
      cells: for each level before it: int32 [S * V + 1], the first row at or behind each code of
        each node; None: not stored.
      edges: likewise the edges before each cell; None where the next level does not ask for nodes.
    """

    platform: str = static_field()
    first: int = static_field()
    stride: int = static_field()
    pairs: int = static_field()
    words: Int[Array, "T 128"]
    cells: tuple[Int[Array, "_"] | None, ...]
    edges: tuple[Int[Array, "_"] | None, ...]


def accelerated(
    platform: str, levels: Sequence[Level], num_rows: int, capacity: int
) -> AcceleratedLayout:
    """Build the arrays for a platform.

    Args:
      platform: "gpu" or "tpu".
      levels: of the trie.
      num_rows: N.
      capacity: rows that the trie has room for.
    """
    first = len(levels)
    while first and isinstance(levels[first - 1], SingleLevel | WindowLevel):
        if levels[first - 1].num_codes > 1 << 16:
            break
        first -= 1
    stride = max((level.layout.width for level in levels[first:]), default=1)
    columns = [level.column(num_rows).astype(np.uint32) for level in levels[first:]]
    pairs = -(-len(columns) // 2)
    cells: list[Int[Array, "_"] | None] = []
    edges: list[Int[Array, "_"] | None] = []
    for number, level in enumerate(levels[:first]):
        rows, before = _cells(level, levels[:number], num_rows)
        # Deeper levels of few rows are asked for by row alone.
        needs_nodes = number + 1 < first
        cells.append(rows)
        edges.append(before if needs_nodes else None)
    return AcceleratedLayout(
        platform=platform,
        first=first,
        stride=stride,
        pairs=pairs,
        words=jnp.asarray(_lines(columns, stride, capacity).view(np.int32)),
        cells=tuple(cells),
        edges=tuple(edges),
    )


def _rows_of_line(pairs: int) -> int:
    """Return W, the rows of a line: a power of two."""
    return 1 << (LANES // max(1, pairs)).bit_length() - 1


def _lines(columns: Sequence[np.ndarray], stride: int, capacity: int) -> np.ndarray:
    """Put the codes of all rows into lines; there are none where a beam's rows exceed one."""
    pairs = -(-len(columns) // 2)
    rows = _rows_of_line(pairs)
    if not pairs or stride > rows:
        return np.zeros((1, LANES), np.uint32)
    lines = np.zeros((capacity // rows + 2, LANES), np.uint32)
    for number, column in enumerate(columns):
        filled = np.zeros(lines.shape[0] * rows, np.uint32)
        filled[: column.size] = column << 16 * (number % 2)
        start = number // 2 * rows
        lines[:, start : start + rows] |= filled.reshape(-1, rows)
    return lines


def _cells(
    level: Level, above: Sequence[Level], num_rows: int
) -> tuple[Int[Array, "_"] | None, Int[Array, "_"] | None]:
    """Return the first row of each cell of a dense level, then N; and the edges before each cell."""
    size = level.layout.nodes * level.num_codes
    if not isinstance(level, DenseLevel) or size > MOST_CELLS:
        return None, None
    starts = level.starts_on_host(num_rows)
    first_rows = np.flatnonzero(starts)
    of_node = above[-1].starts_on_host(num_rows) if above else np.arange(num_rows) == 0
    nodes = np.cumsum(of_node)[first_rows] - 1
    cell = nodes * level.num_codes + np.asarray(level.codes)[: first_rows.size].astype(np.int64)
    before = np.searchsorted(cell, np.arange(size + 1)).astype(np.int32)
    rows = np.append(first_rows, num_rows).astype(np.int32)[before]
    return jnp.asarray(rows), jnp.asarray(before)
