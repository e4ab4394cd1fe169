"""A level whose nodes have few rows: their children are bits of one word."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from genret.index.bits import WORD_BITS, low_bits, lowest_bit, rank, window
from genret.index.layout import LayoutRules, LevelLayout, LevelShape, power_of_two
from genret.index.levels.base import BranchingLevel, Children, LevelParts
from genret.index.nodes import NodeRange, take_beams
from genret.index.restriction import Restriction, rows_in_window, segment_any
from genret.pytree import register_pytree
from genret.typing import Array, Int, UInt


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowChildren(Children):
    """Children in a slot for each row of the widest node: that of the edge that starts there.

    Attributes:
      starts: uint32 [B, M], the bits of the rows at which an edge of the beam's node starts.
      first: int32 [B, M], the first edge of each beam's node.
    """

    starts: UInt[Array, "B M"]
    first: Int[Array, "B M"]


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowLevel(BranchingLevel):
    """The 32 rows from a node's first on hold all of its edges."""

    kind: ClassVar[str] = "window"

    @classmethod
    def layout_for(cls, shape: LevelShape, rules: LayoutRules) -> LevelLayout | None:
        """Return how to store a level; None where another kind has to."""
        if shape.most_rows > rules.window_rows:
            return None
        width = min(rules.window_rows, power_of_two(shape.roomy_rows))
        return LevelLayout.of(cls, shape, rules, width=width)

    @classmethod
    def fits(cls, layout: LevelLayout, shape: LevelShape) -> bool:
        """See :meth:`Level.fits`."""
        return layout.fits(shape) and shape.most_rows <= layout.width

    @classmethod
    def build(cls, parts: LevelParts) -> "WindowLevel":
        """See :meth:`Level.build`."""
        assert parts.layout.width <= WORD_BITS
        return cls(
            codes=parts.padded_codes(),
            starts=parts.start_bits(),
            first_rows=parts.first_rows(),
            num_codes=parts.num_codes,
            number=parts.number,
            layout=parts.layout,
        )

    def children(self, nodes: NodeRange, restriction: Restriction | None) -> WindowChildren:
        """Return a slot for each row of the widest node."""
        rows = rows_in_window(nodes)
        starts = window(self.starts, nodes.lo) & rows
        legal = starts
        if restriction is not None:
            legal = segment_any(starts, restriction.window(nodes.lo) & rows)
        first = rank(self.starts, nodes.lo)
        offset = jnp.arange(self.layout.width, dtype=jnp.int32).reshape(1, 1, -1)
        bit = jnp.uint32(1) << offset.astype(jnp.uint32)
        edge = first[..., None] + _count(starts[..., None] & (bit - 1))
        return WindowChildren(
            legal=legal[..., None] & bit != 0,
            codes=self.codes_at(edge),
            starts=starts,
            first=first,
        )

    def locate(
        self,
        nodes: NodeRange,
        children: Children,
        parents: Int[Array, "B K"],
        slots: Int[Array, "B K"],
    ) -> tuple[Int[Array, "B K"], NodeRange]:
        """Return the codes of chosen children and where they are."""
        assert isinstance(children, WindowChildren)
        begin, size = take_beams(nodes.lo, parents), take_beams(nodes.hi - nodes.lo, parents)
        own = take_beams(children.starts, parents)
        # The child ends where the next edge starts, or with its parent. (Its bit is shifted out in
        # two steps: a shift by the whole word is not defined.)
        until = slots + 1 + lowest_bit(own >> slots.astype(jnp.uint32) >> 1)
        edges = take_beams(children.first, parents) + _count(own & low_bits(slots))
        found = NodeRange(nodes=edges, lo=begin + slots, hi=begin + jnp.minimum(until, size))
        return self.codes_at(edges), found


def _count(words: UInt[Array, "*shape"]) -> Int[Array, "*shape"]:
    return jax.lax.population_count(words).astype(jnp.int32)
