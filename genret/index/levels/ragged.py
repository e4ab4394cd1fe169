"""A level whose nodes may have any number of children: they are put end to end."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from genret.index.bits import WORD_BITS
from genret.index.layout import LayoutRules, LevelLayout, LevelShape, power_of_two
from genret.index.levels.base import BranchingLevel, EdgesOnHost, LevelParts
from genret.index.nodes import NodeRange, count_before, take_beams
from genret.index.restriction import NO_ROW, Restriction
from genret.pytree import register_pytree
from genret.typing import Array, Bool, Int, UInt


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runs:
    """The children of beams end to end: those of the first beam, then those of the second, ….

    Attributes:
      begin: int32 [B, M], the first edge of each beam.
      count: int32 [B, M], its edges.
      until: int32 [B, M], edges of the beam and those before it.
      dead: int32 [B, X], ascending: edges that exclusions left without an allowed row; None: none.
    """

    begin: Int[Array, "B M"]
    count: Int[Array, "B M"]
    until: Int[Array, "B M"]
    dead: Int[Array, "B X"] | None


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class RaggedLevel(BranchingLevel):
    """Stores edges and where they start; a search takes the children of its beams in passes.

    A padded array would be as wide as the widest node for every beam, so there are no slots for
    beams here: child ``j`` of a request belongs to the first beam whose children, with those of the
    beams before it, are more than ``j``.
    """

    kind: ClassVar[str] = "ragged"

    @classmethod
    def layout_for(cls, shape: LevelShape, rules: LayoutRules) -> LevelLayout:
        """Return how to store a level of any shape."""
        width = min(rules.ragged_width, power_of_two(round(shape.typical_children)))
        return LevelLayout.of(cls, shape, rules, width=width, least_pass=rules.least_pass)

    @classmethod
    def build(cls, parts: LevelParts) -> "RaggedLevel":
        """See :meth:`Level.build`."""
        return cls(
            codes=parts.padded_codes(),
            starts=parts.start_bits(),
            first_rows=parts.first_rows(),
            num_codes=parts.num_codes,
            number=parts.number,
            layout=parts.layout,
        )

    def edges_on_host(
        self, num_rows: int, above: Callable[[], Bool[np.ndarray, "N"]]
    ) -> EdgesOnHost:
        """Return the first rows of the edges."""
        return EdgesOnHost(first_rows=np.flatnonzero(self.starts_on_host(num_rows)))

    def allowed_bits(
        self, edges: EdgesOnHost, leads: Bool[np.ndarray, "E"]
    ) -> UInt[np.ndarray, "W"]:
        """Return a bit for each edge that leads to an allowed row."""
        words = np.zeros(self.layout.edges // WORD_BITS + 1, np.uint32)
        packed = np.packbits(leads, bitorder="little")
        words.view(np.uint8)[: packed.size] = packed
        return words

    def runs(self, nodes: NodeRange, restriction: Restriction | None) -> Runs:
        """Return the children of beams, end to end."""
        begin = self.edges_before(nodes.lo)
        count = self.edges_before(nodes.hi) - begin
        dead = None if restriction is None else self.dead_edges(restriction)
        return Runs(
            begin=begin,
            count=count,
            until=jnp.cumsum(count, axis=1, dtype=jnp.int32),
            dead=None if dead is None else jnp.sort(jnp.where(dead[1], dead[0], NO_ROW), axis=1),
        )

    def some_children(
        self, runs: Runs, restriction: Restriction | None, start: Int[Array, ""], width: int
    ) -> tuple[Int[Array, "B C"], Int[Array, "B C"], Bool[Array, "B C"]]:
        """Return the children ``start`` to ``start + width`` of each request.

        Returns:
          int32, the beam and the edge of each, and whether it leads to an allowed item.
        """
        until = runs.until
        slot = jnp.broadcast_to(start + jnp.arange(width, dtype=jnp.int32), (until.shape[0], width))
        beam = jnp.minimum(count_before(until, slot, equal=True), until.shape[1] - 1)
        within = slot - take_beams(until - runs.count, beam)
        edge = take_beams(runs.begin, beam) + within
        legal = slot < until[:, -1:]
        edge = jnp.where(legal, edge, 0)
        mask = None if restriction is None else restriction.mask(self.number)
        if restriction is not None and mask is not None and restriction.filter_of is not None:
            words = mask.at[restriction.filter_of[:, None], edge // WORD_BITS].get(mode="clip")
            legal &= words >> (edge % WORD_BITS).astype(jnp.uint32) & 1 == 1
        if runs.dead is not None:
            near = count_before(runs.dead, edge)
            legal &= jnp.take_along_axis(runs.dead, near, axis=1, mode="clip") != edge
        return beam, edge, legal

    def locate(
        self, nodes: NodeRange, parents: Int[Array, "B K"], edges: Int[Array, "B K"]
    ) -> tuple[Int[Array, "B K"], NodeRange]:
        """Return the codes of chosen children and where they are.

        Args:
          nodes: where the beams stand.
          parents: int32, the beam of each chosen child.
          edges: int32, its edge.
        """
        begin, end = self.rows_of(edges, *nodes.rows_of(parents))
        return self.codes_at(edges), NodeRange(nodes=edges, lo=begin, hi=end)
