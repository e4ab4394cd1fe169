"""The children of a ragged level's nodes, in lines of 128 words: an accelerator reads one a beam.

A dense level has a cell for each code of each node. A ragged one has too many nodes for that, but few of
them are *wide*, with more than 32 rows below: these have a line of bits, and a cell for each child. Of
all other nodes, the codes of 32 rows from their first one on say all.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from genret.index.bits import WORD_BITS, low_bits
from genret.index.cells import Cells, Number
from genret.index.levels import RaggedLevel
from genret.index.levels.dense import code_masks
from genret.index.lines import LANES, Load
from genret.index.nodes import NodeRange
from genret.pytree import register_pytree, static_field
from genret.typing import Array, Bool, Int, UInt

NARROW = WORD_BITS
"""Rows of a node up to which it is not wide."""

MOST_LINES = 1 << 21
"""Lines of a table of a ragged level: 1 GiB."""


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class RaggedLines:
    """The children of a ragged level's nodes.

    Attributes:
      lines: int32 [T, 128]. First K lines for each wide node: bits of its codes, then its first cell.
        Then lines of codes: lane j of line r has the code of row ``128 r + j`` in its lower 16 bits, and
        that of the row 32 behind it in the upper ones, so any 32 rows lie in 32 lanes of one line.
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

    def words(self, nodes: NodeRange, load: Load) -> UInt[Array, "B M W"]:
        """Return the codes of each node, as bits; ``load``: see :meth:`ChildLines.child`."""
        held = self._held(nodes, load)
        place = jnp.arange(held.bits.shape[-1], dtype=jnp.int32).reshape(1, 1, 1, -1)
        codes = held.codes[..., None]
        bit = jnp.uint32(1) << (codes % WORD_BITS).astype(jnp.uint32)
        # Of a run of equal codes, the first row says it: each bit is there once.
        own = held.first[..., None] & (codes // WORD_BITS == place)
        narrow = jnp.where(own, bit, 0).sum(axis=2, dtype=jnp.uint32)
        return jnp.where(held.wide[..., None], held.bits, narrow)

    def child(self, nodes: NodeRange, codes: Int[Array, "B K"], load: Load) -> NodeRange:
        """See :meth:`ChildLines.child`."""
        held = self._held(nodes, load)
        below = jnp.arange(held.bits.shape[-1], dtype=jnp.int32).reshape(1, 1, -1) * WORD_BITS
        before = held.bits & low_bits(codes[..., None] - below)
        rank = jax.lax.population_count(before).astype(jnp.int32).sum(axis=-1, dtype=jnp.int32)
        found = self.cells.at(jnp.where(held.wide, held.cell + rank, 0), load)
        own = held.inside & (held.codes <= codes[..., None])
        until = own.sum(axis=-1, dtype=jnp.int32)
        same = (own & (held.codes == codes[..., None])).sum(axis=-1, dtype=jnp.int32)
        return NodeRange(
            nodes=jnp.where(held.wide, found.nodes, 0),
            lo=jnp.where(held.wide, found.lo, nodes.lo + until - same),
            hi=jnp.where(held.wide, found.hi, nodes.lo + until),
        )

    def _held(self, nodes: NodeRange, load: Load) -> "_Held":
        """Read the line of each node."""
        count = nodes.hi - nodes.lo
        wide = count > NARROW
        words = -(-self.num_codes // WORD_BITS)
        each = words // LANES + 1
        first = jnp.where(wide, nodes.nodes * each, self.wide + nodes.lo // LANES)
        which = first[..., None] + jnp.arange(each, dtype=jnp.int32).reshape(1, 1, -1)
        line = load(self.lines, which).reshape(*count.shape, each * LANES)

        group = (nodes.lo % LANES // NARROW)[..., None]
        pairs = line[..., :NARROW]
        for other in range(1, LANES // NARROW):
            pairs = jnp.where(group == other, line[..., other * NARROW :][..., :NARROW], pairs)
        lane = jnp.arange(NARROW, dtype=jnp.int32).reshape(1, 1, NARROW)
        shift = (nodes.lo % NARROW)[..., None]
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Held:
    """What the lines of nodes hold.

    Attributes:
      wide: bool [B, M], whether a node is wide; if so:
      bits: uint32 [B, M, W], its codes.
      cell: int32 [B, M], its first cell. If not:
      codes: int32 [B, M, 32], the codes of 32 rows, from some row on and then from its first.
      inside: bool [B, M, 32], which of these are its rows.
      first: bool [B, M, 32], at which a child begins.
    """

    wide: Bool[Array, "B M"]
    bits: UInt[Array, "B M W"]
    cell: Int[Array, "B M"]
    codes: Int[Array, "B M 32"]
    inside: Bool[Array, "B M 32"]
    first: Bool[Array, "B M 32"]


def wide_nodes(starts: Bool[np.ndarray, "N"]) -> Bool[np.ndarray, "S"]:
    """Say which nodes are wide, given the rows at which one starts.

    >>> wide_nodes(np.arange(40) % 39 == 0).tolist()
    [True, False]
    """
    return np.diff(np.append(np.flatnonzero(starts), starts.size)) > NARROW
