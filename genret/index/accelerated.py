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
      cells: for each level before it: int32 [T, 128], the first row at or behind each cell, a code
        of a node. A line holds those of :meth:`cells_of_line` cells and of the next one. Where the
        next level asks for nodes, its second half holds the edges before the same cells. None: not
        stored.
    """

    platform: str = static_field()
    first: int = static_field()
    stride: int = static_field()
    pairs: int = static_field()
    words: Int[Array, "T 128"]
    cells: tuple[Int[Array, "_ 128"] | None, ...]

    def numbered(self, level: int) -> bool:
        """Say whether the cells of a level know their edges: deeper ones are found by row alone."""
        return level + 1 < self.first

    def cells_of_line(self, level: int) -> int:
        """Return how many cells of a level a line holds, without the next one."""
        return (LANES // 2 if self.numbered(level) else LANES) - 1


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
    layout = AcceleratedLayout(
        platform=platform,
        first=first,
        stride=stride,
        pairs=pairs,
        words=jnp.asarray(_lines(columns, stride, capacity).view(np.int32)),
        cells=(),
    )
    cells = [
        _cells(level, levels[:number], num_rows, layout.numbered(number))
        for number, level in enumerate(levels[:first])
    ]
    return dataclasses.replace(layout, cells=tuple(cells))


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
    level: Level, above: Sequence[Level], num_rows: int, numbered: bool
) -> Int[Array, "_ 128"] | None:
    """Return the lines of the cells of a dense level: see :attr:`AcceleratedLayout.cells`."""
    size = level.layout.nodes * level.num_codes
    if not isinstance(level, DenseLevel) or size > MOST_CELLS:
        return None
    starts = level.starts_on_host(num_rows)
    first_rows = np.flatnonzero(starts)
    of_node = above[-1].starts_on_host(num_rows) if above else np.arange(num_rows) == 0
    nodes = np.cumsum(of_node)[first_rows] - 1
    cell = nodes * level.num_codes + np.asarray(level.codes)[: first_rows.size].astype(np.int64)
    before = np.searchsorted(cell, np.arange(size + 1)).astype(np.int32)
    rows = np.append(first_rows, num_rows).astype(np.int32)[before]
    parts = (rows, before) if numbered else (rows,)
    return jnp.asarray(np.concatenate([_overlapping(x, LANES // len(parts)) for x in parts], 1))


def _overlapping(values: np.ndarray, width: int) -> np.ndarray:
    """Cut values into lines, each of which ends with the first value of the next; int32 [T, width].

    >>> _overlapping(np.arange(5, dtype=np.int32), 3).tolist()
    [[0, 1, 2], [2, 3, 4], [4, 4, 4]]
    """
    lines = -(-values.size // (width - 1))
    padded = np.pad(values, (0, lines * (width - 1) + 1 - values.size), mode="edge")
    first = padded[:-1].reshape(lines, width - 1)
    return np.concatenate([first, padded[width - 1 :: width - 1, None]], axis=1)
