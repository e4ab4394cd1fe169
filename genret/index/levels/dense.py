"""A level with a bit for each code of each node: the logits are masked without a gather."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genret.index.bits import WORD_BITS, low_bits
from genret.index.layout import LayoutRules, LevelLayout, LevelShape
from genret.index.levels.base import (
    BranchingLevel,
    Children,
    DeadCodes,
    EdgesOnHost,
    LevelParts,
)
from genret.index.nodes import NodeRange, take_beams
from genret.index.restriction import Restriction
from genret.pytree import register_pytree
from genret.typing import Array, Bool, Int, UInt


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseLevel(BranchingLevel):
    """Stores a bit mask of the codes of each node.

    Attributes:
      masks: uint32 [S, V / 32]: the codes of each node.
    """

    kind: ClassVar[str] = "dense"

    masks: UInt[Array, "S Words"]

    @classmethod
    def layout_for(cls, shape: LevelShape, rules: LayoutRules) -> LevelLayout | None:
        """Return how to store a level; None where another kind has to."""
        if shape.num_nodes * shape.num_codes > rules.dense_ratio * shape.num_edges:
            return None
        return LevelLayout.of(cls, shape, rules, nodes=shape.capacity_of(shape.num_nodes))

    @classmethod
    def fits(cls, layout: LevelLayout, shape: LevelShape) -> bool:
        """See :meth:`Level.fits`."""
        return layout.fits(shape) and shape.num_nodes <= layout.nodes

    @classmethod
    def build(cls, parts: LevelParts) -> "DenseLevel":
        """See :meth:`Level.build`."""
        nodes = np.cumsum(parts.above[parts.starts], dtype=np.int64) - 1
        masks = code_masks(nodes, parts.codes, parts.layout.nodes, parts.num_codes)
        return cls(
            codes=parts.padded_codes(),
            starts=parts.start_bits(),
            first_rows=parts.first_rows(),
            masks=jax.device_put(masks),
            num_codes=parts.num_codes,
            number=parts.number,
            layout=parts.layout,
        )

    def edges_on_host(
        self, num_rows: int, above: Callable[[], Bool[np.ndarray, "N"]]
    ) -> EdgesOnHost:
        """Return the edges with their nodes and codes."""
        first_rows = np.flatnonzero(self.starts_on_host(num_rows))
        return EdgesOnHost(
            first_rows=first_rows,
            nodes=np.cumsum(above()[first_rows]) - 1,
            codes=np.asarray(self.codes)[: first_rows.size],
        )

    def allowed_bits(
        self, edges: EdgesOnHost, leads: Bool[np.ndarray, "E"]
    ) -> UInt[np.ndarray, "S W"]:
        """Return a bit for each code of each node that leads to an allowed row."""
        assert edges.nodes is not None
        assert edges.codes is not None
        return code_masks(edges.nodes[leads], edges.codes[leads], self.layout.nodes, self.num_codes)

    def legal_words(
        self,
        nodes: NodeRange,
        restriction: Restriction | None,
        dead: DeadCodes | None = None,
        words: UInt[Array, "B M W"] | None = None,
    ) -> UInt[Array, "B M W"]:
        """Return the codes of each beam that lead to an allowed row, as bits.

        Args:
          nodes: where the beams stand.
          restriction: what the requests may not be answered; None forbids nothing.
          dead: the codes that exclusions may forbid; None: they are looked up here.
          words: the codes that lead to a row that the filter of the beam's request allows; None: they
            are looked up here.
        """
        if words is None:
            words = self._words(nodes, restriction)
        if restriction is not None and dead is None:
            dead = self.dead_codes(restriction)
        if dead is not None:
            words = dead.cleared(words, nodes)
        return jnp.where((nodes.lo < nodes.hi)[..., None], words, 0)

    def _words(self, nodes: NodeRange, restriction: Restriction | None) -> UInt[Array, "B M W"]:
        """Return the codes of each beam that lead to a row that its filter allows."""
        masks = None if restriction is None else restriction.mask(self.number)
        if restriction is None or masks is None or restriction.filter_of is None:
            return self.masks.at[nodes.nodes].get(mode="clip")
        found = masks.at[restriction.filter_of[:, None], nodes.nodes].get(mode="clip")
        return found[..., : self.masks.shape[-1]]  # a TPU's lines are filled up

    def children(self, nodes: NodeRange, restriction: Restriction | None) -> Children:
        """Return a slot for each code of the level, and a few more."""
        words = self.legal_words(nodes, restriction)
        return Children(legal=bits_of(words).reshape(*words.shape[:2], -1), codes=None)

    def locate(
        self,
        nodes: NodeRange,
        children: Children | None,
        parents: Int[Array, "B K"],
        slots: Int[Array, "B K"],
    ) -> tuple[Int[Array, "B K"], NodeRange]:
        """Return the codes of chosen children, which are their slots, and where they are."""
        lo, hi = nodes.rows_of(parents)
        # The children of a node are numbered by their codes.
        own = self.masks.at[nodes.nodes].get(mode="clip")
        first = self.edges_before(lo)
        below = jnp.arange(own.shape[-1], dtype=jnp.int32)[None, None] * WORD_BITS
        before = take_beams(own, parents) & low_bits(slots[..., None] - below)
        count = jax.lax.population_count(before).astype(jnp.int32).sum(axis=-1, dtype=jnp.int32)
        edges = first + count
        begin, end = self.rows_of(edges, lo, hi)
        return slots, NodeRange(nodes=edges, lo=begin, hi=end)


def bits_of(words: UInt[Array, "*shape"]) -> Bool[Array, "*shape 32"]:
    """Return the bits of words, the lowest first."""
    bit = jnp.arange(WORD_BITS, dtype=jnp.uint32).reshape(*[1] * words.ndim, WORD_BITS)
    return (words[..., None] & (jnp.uint32(1) << bit)) != 0


def code_masks(
    nodes: Int[np.ndarray, "E"], codes: UInt[np.ndarray, "E"], num_nodes: int, num_codes: int
) -> UInt[np.ndarray, "S W"]:
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
