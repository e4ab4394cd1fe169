"""Where the children of nodes are, in cells: a line of 128 words has many of them, and is read at once."""

import dataclasses
from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from genret_kernels.lines_level.reference import cells_at, gathered

from genret.index.bits import WORD_BITS
from genret.index.levels import DenseLevel
from genret.index.lines import LANES, Load
from genret.index.nodes import NodeRange
from genret.pytree import register_pytree, static_field
from genret.typing import Array, Bool, Int, UInt

MOST_CELLS = 1 << 26
"""Cells (node, code) of a dense level whose first rows are stored: 256 MiB."""

MOST_HELD = 1 << 16
"""Lines of a table that XLA moves into a TPU's VMEM before it gathers some: 32 MiB."""

Number = Callable[[Int[np.ndarray, "K"]], Int[np.ndarray, "K"]]
"""Returns the numbers that the level below gives the children at the edges of a level."""


class ChildLines(Protocol):
    """What tells where the children of a level's nodes are."""

    def child(self, nodes: NodeRange, codes: Int[Array, "B K"], load: Load) -> NodeRange:
        """Return where the children of nodes along some codes are, if there are any.

        Args:
          nodes: the nodes.
          codes: int32.
          load: reads lines that XLA does not hold in the fast memory of a TPU.
        """


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Cells:
    """Rows and numbers of what is in cells.

    Attributes:
      lines: int32 [T, 128], the first row at or behind each cell. A line holds those of 127 cells and
        of the next one; where cells have numbers, those of 63, the next one, and 64 numbers.
      numbered: whether cells have numbers: what the level below calls the nodes.
      whole: whether lines are read and then words of these, and not words alone, which a GPU fuses into
        what asks for them.
    """

    lines: Int[Array, "T 128"]
    numbered: bool = static_field()
    whole: bool = static_field()

    @classmethod
    def of(
        cls,
        rows: Int[np.ndarray, "K1"],
        numbers: Int[np.ndarray, "K1"] | None,
        whole: bool,
    ) -> "Cells":
        """Put cells into lines; the last of them is only where another one ends."""
        parts = (rows,) if numbers is None else (rows, numbers)
        lines = [_overlapping(x.astype(np.int32), LANES // len(parts)) for x in parts]
        return cls(
            lines=jnp.asarray(np.concatenate(lines, axis=1)),
            numbered=numbers is not None,
            whole=whole,
        )

    def at(
        self, cell: Int[Array, "B K"], load: Load
    ) -> tuple[Int[Array, "B K"], Int[Array, "B K"], Int[Array, "B K"]]:
        """Return the numbers of cells and their rows: from theirs to where the next cell begins."""
        if self.whole:
            number, lo, hi = cells_at(self.lines, cell, numbered=self.numbered, load=load)
            return number, lo, hi
        line, lane = jnp.divmod(cell, (LANES // 2 if self.numbered else LANES) - 1)

        def word(lane: Int[Array, "B K"]) -> Int[Array, "B K"]:
            return self.lines.reshape(-1).at[line * LANES + lane].get(mode="clip")

        lo, hi = word(lane), word(lane + 1)
        return (word(lane + LANES // 2) if self.numbered else lo), lo, hi


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseLines:
    """The children of a dense level's nodes.

    Attributes:
      cells: one for each code of each node.
      num_codes: V.
      masks: int32 [T, 128], the bits of the codes of several nodes in each line, W words a node; None:
        a node's words fill a line, or nobody reads whole lines.
    """

    cells: Cells
    num_codes: int = static_field()
    masks: Int[Array, "T 128"] | None = None

    @classmethod
    def of(
        cls,
        level: DenseLevel,
        above: Bool[np.ndarray, "N"],
        number: Number | None,
        whole: bool,
    ) -> "DenseLines | None":
        """Build the lines of a level; None: it has too many cells.

        Args:
          level: the level.
          above: the rows at which a node of it starts.
          number: of the children; None: nobody asks for it.
          whole: see :attr:`Cells.whole`.
        """
        size = level.layout.nodes * level.num_codes
        if size > MOST_CELLS:
            return None
        first_rows = np.flatnonzero(level.starts_on_host(above.size))
        nodes = np.cumsum(above)[first_rows] - 1
        codes = np.asarray(level.codes)[: first_rows.size].astype(np.int64)
        edge = np.searchsorted(nodes * level.num_codes + codes, np.arange(size + 1))
        rows = np.append(first_rows, above.size)[edge]
        numbers = None if number is None else number(edge)
        masks = np.asarray(level.masks)
        nodes_of_line = LANES // masks.shape[1]
        lines: Array | None = None
        if whole and nodes_of_line > 1:
            padded = np.pad(masks, ((0, -masks.shape[0] % nodes_of_line), (0, 0)))
            several = padded.reshape(-1, nodes_of_line * masks.shape[1]).view(np.int32)
            lines = jnp.asarray(np.pad(several, ((0, 0), (0, LANES - several.shape[1]))))
        return cls(cells=Cells.of(rows, numbers, whole), num_codes=level.num_codes, masks=lines)

    def words(self, nodes: Int[Array, "B M"], load: Load) -> UInt[Array, "B M W"] | None:
        """Return the codes of each node, as bits; None: ``masks`` has none.

        XLA stores a table of a few words a node with the nodes as its minor axis, and turns all of it
        around before it gathers.

        Args:
          nodes: int32.
          load: see :meth:`ChildLines.child`.
        """
        if self.masks is None:
            return None
        words = -(-self.num_codes // WORD_BITS)
        line, place = jnp.divmod(nodes, LANES // words)
        few = self.masks.shape[0] <= MOST_HELD
        found = (gathered if few else load)(self.masks, line)
        own = found[..., :words]
        for other in range(1, LANES // words):
            there = found[..., other * words :][..., :words]
            own = jnp.where((place == other)[..., None], there, own)
        return jax.lax.bitcast_convert_type(own, jnp.uint32)

    def child(self, nodes: NodeRange, codes: Int[Array, "B K"], load: Load) -> NodeRange:
        """See :meth:`ChildLines.child`."""
        few = self.cells.lines.shape[0] <= MOST_HELD
        cell = nodes.nodes * self.num_codes + codes
        number, lo, hi = self.cells.at(cell, gathered if few else load)
        return NodeRange(nodes=number, lo=lo, hi=hi)


def _overlapping(values: Int[np.ndarray, "K"], width: int) -> Int[np.ndarray, "T width"]:
    """Cut values into lines, each of which ends with the first value of the next.

    >>> _overlapping(np.arange(5, dtype=np.int32), 3).tolist()
    [[0, 1, 2], [2, 3, 4], [4, 4, 4]]
    """
    lines = -(-values.size // (width - 1))
    padded = np.pad(values, (0, lines * (width - 1) + 1 - values.size), mode="edge")
    first = padded[:-1].reshape(lines, width - 1)
    return np.concatenate([first, padded[width - 1 :: width - 1, None]], axis=1)
