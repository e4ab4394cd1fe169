"""The children of a ragged level's nodes, in lines of 128 words: an accelerator reads one a beam.

A dense level has a cell for each code of each node. A ragged one has too many nodes for that, but few of
them are *wide*, with more than 32 rows below: these have a line of bits, and a cell for each child. Of
all other nodes, the codes of 32 rows from their first one on say all.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from genret_kernels.lines_level import LinesLayout
from genret_kernels.lines_level.layout import NARROW
from genret_kernels.lines_level.reference import children_of, words_of

from genret.index.bits import WORD_BITS
from genret.index.cells import Cells, Number
from genret.index.levels import RaggedLevel
from genret.index.levels.dense import code_masks
from genret.index.lines import LANES, Load
from genret.index.nodes import NodeRange
from genret.pytree import register_pytree, static_field
from genret.typing import Array, Bool, Int, UInt

MOST_LINES = 1 << 21
"""Lines of a table of a ragged level: 1 GiB."""


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class RaggedLines:
    """The children of a ragged level's nodes, see :mod:`genret_kernels.lines_level.layout`.

    Attributes:
      lines: int32 [T, 128].
      cells: those of the children of wide nodes, node by node; behind those of a node, where it ends.
      wide: lines of wide nodes.
      num_codes: V.
    """

    lines: Int[Array, "T 128"]
    cells: Cells
    wide: int = static_field()
    num_codes: int = static_field()

    @classmethod
    def of(
        cls,
        level: RaggedLevel,
        above: Bool[np.ndarray, "N"],
        number: Number | None,
        whole: bool,
        most_nodes: int,
        capacity: int,
    ) -> "RaggedLines | None":
        """Build the lines of a level; None: there are too many, or the codes need more than 16 bits.

        Args:
          level: the level.
          above: the rows at which a node of it starts.
          number: of the children; None: nobody asks for it.
          whole: see :attr:`Cells.whole`.
          most_nodes: nodes that the trie has room for.
          capacity: rows that it has room for.
        """
        # Wide nodes that there is room for: the shapes depend on the layout alone.
        room = min(most_nodes, capacity // (NARROW + 1)) + 1
        words = -(-level.num_codes // WORD_BITS)
        each = words // LANES + 1  # lines of a node: its words and the number of its first cell
        if level.num_codes > 1 << 16 or room * each + capacity // LANES > MOST_LINES:
            return None
        num_rows = above.size
        starts = level.starts_on_host(num_rows)
        first_rows = np.flatnonzero(starts)
        codes = np.asarray(level.codes)[: first_rows.size]
        is_wide = wide_nodes(above)
        node = np.cumsum(above)[first_rows] - 1
        edge = np.flatnonzero(is_wide[node]) if is_wide.size else np.zeros(0, np.int64)
        owner = (np.cumsum(is_wide) - 1)[node[edge]]

        # A cell for each child, and one more for each wide node that came before.
        size = level.layout.edges + room
        rows, edges = np.full(size + 1, num_rows), np.full(size + 1, first_rows.size)
        rows[np.arange(edge.size) + owner] = first_rows[edge]
        edges[np.arange(edge.size) + owner] = edge
        count = np.bincount(owner, minlength=int(is_wide.sum())) + 1
        ends = np.cumsum(count)
        rows[ends - 1] = np.append(np.flatnonzero(above), num_rows)[1:][is_wide]
        numbers = None if number is None else number(edges)

        lines = np.zeros((room * each + capacity // LANES + 1, LANES), np.uint32)
        nodes = lines[: room * each].reshape(room, each * LANES)
        nodes[:, :words] = code_masks(owner, codes[edge], room, level.num_codes)
        nodes[: count.size, words] = ends - count
        column = np.zeros((lines.shape[0] - room * each) * LANES + NARROW, np.uint32)
        column[:num_rows] = codes[np.cumsum(starts) - 1]
        pairs = column[:-NARROW] | column[NARROW:] << 16
        lines[room * each :] = pairs.reshape(-1, LANES)
        return cls(
            lines=jnp.asarray(lines.view(np.int32)),
            cells=Cells.of(rows, numbers, whole),
            wide=room * each,
            num_codes=level.num_codes,
        )

    @property
    def layout(self) -> LinesLayout:
        """The static facts of the lines."""
        return LinesLayout(num_codes=self.num_codes, wide=self.wide, numbered=self.cells.numbered)

    def words(self, nodes: NodeRange, load: Load) -> UInt[Array, "B M W"]:
        """Return the codes of each node, as bits; ``load``: see :meth:`ChildLines.child`."""
        count = nodes.hi - nodes.lo
        found: UInt[Array, "B M W"] = words_of(
            self.lines, nodes.nodes, nodes.lo, count, layout=self.layout, load=load
        )
        return found

    def child(self, nodes: NodeRange, codes: Int[Array, "B K"], load: Load) -> NodeRange:
        """See :meth:`ChildLines.child`."""
        number, lo, hi = children_of(
            self.lines, nodes.nodes, nodes.lo, nodes.hi - nodes.lo, codes,
            layout=self.layout, load=load, find=lambda cell: self.cells.at(cell, load),
        )  # fmt: skip
        return NodeRange(nodes=number, lo=lo, hi=hi)


def wide_nodes(starts: Bool[np.ndarray, "N"]) -> Bool[np.ndarray, "S"]:
    """Say which nodes are wide, given the rows at which one starts.

    >>> wide_nodes(np.arange(40) % 39 == 0).tolist()
    [True, False]
    """
    return np.diff(np.append(np.flatnonzero(starts), starts.size)) > NARROW
