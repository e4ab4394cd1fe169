"""Where the children of a ragged level's nodes are: two tables of lines of 128 words, read one line a beam.

``lines`` tells which codes a node's children have. ``cells`` tells for each child of some nodes its first
row, where its rows end, and its number: what the level below calls it.

Few nodes are *wide*, with more than 32 rows. These have a bit for each of the V codes, ``W = ceil(V / 32)``
words. Theirs are the first lines, as many for each as W words and one more need; that one is the
node's first cell, and its child of rank r is in the r-th cell from there. Of all other nodes the codes of 32
rows from their first one on say all: behind the lines of wide nodes, lane j of line r has the code of
row ``128 r + j`` in its lower 16 bits, and that of the row 32 behind it in the upper ones, so any 32
rows lie in 32 lanes of one line. Their children need no cells, and no number: their rows are known.

A line of cells has the first rows of 127 of them and of the next one; where cells have numbers, it has
those of 63, of the next one, and 64 numbers.
"""

import dataclasses

import jax
import jax.numpy as jnp

LANES = 128
WORD_BITS = 32
NARROW = WORD_BITS
"""Rows of a node up to which it is not wide."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinesLayout:
    """The static facts of a level's lines.

    Attributes:
      num_codes: V.
      wide: lines of wide nodes.
      numbered: whether cells have numbers.
    """

    num_codes: int
    wide: int
    numbered: bool

    @property
    def words(self) -> int:
        """W: words of a node's bits."""
        return -(-self.num_codes // WORD_BITS)

    @property
    def each(self) -> int:
        """Lines of a wide node."""
        return self.words // LANES + 1

    @property
    def cells_of_line(self) -> int:
        """Cells that a line says all of."""
        return (LANES // 2 if self.numbered else LANES) - 1

    def first_lines(self, nodes: jax.Array, lo: jax.Array, count: jax.Array) -> jax.Array:
        """Return the first line to read of each node.

        Args:
          nodes: int32 [...], numbers of wide nodes.
          lo: int32 [...], their first rows.
          count: int32 [...], how many rows they have.
        """
        return jnp.where(count > NARROW, nodes * self.each, self.wide + lo // LANES)
