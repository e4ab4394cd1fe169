"""The beams of a search, and one step: the children of all beams compete for M places."""

import dataclasses
from typing import Protocol, TypeVar, runtime_checkable

import jax.numpy as jnp

from genret.decoding.candidates import Candidates, best_children, normalizer_of
from genret.decoding.readout import Draw, Readout, Scored
from genret.index.layout import Layout
from genret.index.live import RowOfItem
from genret.index.nodes import NodeRange, take_beams
from genret.index.parts import Parts
from genret.index.restriction import Restriction
from genret.index.trie import Trie
from genret.pytree import register_pytree
from genret.typing import Array, Bool, Float, Int

Nodes = NodeRange | tuple[NodeRange, NodeRange]
"""Where beams stand: in a trie, or in both tries of a live index."""

N = TypeVar("N", bound=Nodes)


@runtime_checkable
class Searched(Protocol[N]):
    """What a search asks of the items: their trie, or both tries of a live index."""

    @property
    def layout(self) -> Layout:
        """The static facts of the trie that was built."""

    @property
    def is_restricted(self) -> bool:
        """Whether a request may not be answered some items."""

    def unrestricted(self) -> "Searched[N]":
        """Return the same items, all of them allowed."""

    def at_root(self, batch: int) -> N:
        """Return one beam a request, at the root."""

    def best(
        self, level: int, nodes: N, scored: Scored, beams: int, draw: Draw | None
    ) -> tuple[Candidates, N]:
        """Return the best children of all beams, and where they are."""

    def normalizer(self, level: int, nodes: N, scored: Scored) -> Float[Array, "B M"]:
        """Return the logsumexp of the logits of each beam's children; -inf: it has none."""

    def where(self, valid: Bool[Array, "B M"], nodes: N) -> N:
        """Return the nodes with nothing below the beams that are not valid."""

    def counts_below(self, nodes: N) -> Int[Array, "B R"]:
        """Return how many allowed rows are below the beams: R ranges of them, beam by beam."""

    def rows_below(
        self, level: int, nodes: N, which: Int[Array, "B C"], nth: Int[Array, "B C"]
    ) -> tuple[Int[Array, "B C"], Int[Array, "B C"]]:
        """Return beam and row of the ``nth`` allowed row of a range."""

    def positions_of(self, rows: Int[Array, "B C"]) -> Int[Array, "B C"]:
        """Return the item positions of rows."""

    def codes_of(self, level: int, rows: Int[Array, "B C"]) -> Int[Array, "B C T"]:
        """Return the codes of rows from a level on."""

    def rows_of(
        self, items: Int[Array, "B C"], row_of_item: RowOfItem
    ) -> tuple[Int[Array, "B C"], Bool[Array, "B C"]]:
        """Return the rows of items by position, and which of them may be answered.

        ``row_of_item`` is that of the index.
        """

    def descend(
        self, level: int, nodes: N, parents: Int[Array, "B C"], codes: Int[Array, "B C"]
    ) -> N:
        """Return where the children of some beams along given codes stand; nowhere: without rows."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneTrie:
    """A trie and what the requests may not be answered: see :class:`Searched`.

    Attributes:
      trie: the trie.
      restriction: what the requests may not be answered; None forbids nothing.
    """

    trie: Trie
    restriction: Restriction | None

    @property
    def layout(self) -> Layout:
        """See :attr:`Searched.layout`."""
        return self.trie.layout

    @property
    def is_restricted(self) -> bool:
        """See :attr:`Searched.is_restricted`."""
        return self.restriction is not None

    def unrestricted(self) -> "OneTrie":
        """See :meth:`Searched.unrestricted`."""
        return dataclasses.replace(self, restriction=None)

    def at_root(self, batch: int) -> NodeRange:
        """See :meth:`Searched.at_root`."""
        return NodeRange.at_root(batch, self.trie.num_rows)

    def best(
        self, level: int, nodes: NodeRange, scored: Scored, beams: int, draw: Draw | None
    ) -> tuple[Candidates, NodeRange]:
        """See :meth:`Searched.best`."""
        stored = self.trie.levels[level]
        found = best_children(stored, nodes, scored, self.restriction, beams, draw)
        return found, found.nodes

    def normalizer(self, level: int, nodes: NodeRange, scored: Scored) -> Float[Array, "B M"]:
        """See :meth:`Searched.normalizer`."""
        return normalizer_of(self.trie.levels[level], nodes, scored, self.restriction)

    def where(self, valid: Bool[Array, "B M"], nodes: NodeRange) -> NodeRange:
        """See :meth:`Searched.where`."""
        return nodes.where(valid)

    def counts_below(self, nodes: NodeRange) -> Int[Array, "B M"]:
        """See :meth:`Searched.counts_below`."""
        if self.restriction is None:
            return nodes.hi - nodes.lo
        after, before = (self.restriction.allowed_before(rows) for rows in (nodes.hi, nodes.lo))
        return after - before

    def rows_below(
        self, level: int, nodes: NodeRange, which: Int[Array, "B C"], nth: Int[Array, "B C"]
    ) -> tuple[Int[Array, "B C"], Int[Array, "B C"]]:
        """See :meth:`Searched.rows_below`."""
        lo, hi = nodes.rows_of(which)
        if self.restriction is None:
            return which, lo + nth
        return which, self.restriction.nth_allowed(lo, hi, nth, self.layout.steps(level))

    def positions_of(self, rows: Int[Array, "B C"]) -> Int[Array, "B C"]:
        """See :meth:`Searched.positions_of`."""
        return self.trie.position_of(rows)

    def codes_of(self, level: int, rows: Int[Array, "B C"]) -> Int[Array, "B C T"]:
        """See :meth:`Searched.codes_of`."""
        return self.trie.codes_of_rows(level, rows)

    def rows_of(
        self, items: Int[Array, "B C"], row_of_item: RowOfItem
    ) -> tuple[Int[Array, "B C"], Bool[Array, "B C"]]:
        """See :meth:`Searched.rows_of`."""
        if isinstance(row_of_item, tuple):
            row_of_item, _ = row_of_item  # of a live index into which nothing was inserted
        assert not isinstance(row_of_item, Parts)
        inside = (items >= 0) & (items < self.trie.num_rows)
        items = jnp.where(inside, items, 0)
        rows = items if row_of_item is None else row_of_item.at[items].get(mode="clip")
        if self.restriction is None:
            return rows, inside
        return rows, inside & self.restriction.holds_any(rows, rows + 1)

    def descend(
        self,
        level: int,
        nodes: NodeRange,
        parents: Int[Array, "B C"],
        codes: Int[Array, "B C"],
    ) -> NodeRange:
        """See :meth:`Searched.descend`."""
        lo, hi = nodes.rows_of(parents)
        stored = self.trie.levels[level]
        edges, found = stored.child(lo, hi, codes)
        begin, end = stored.rows_of(edges, lo, hi)
        return NodeRange(nodes=edges, lo=begin, hi=end).where(found)


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class BeamState:
    """The beams of a batch before some level; at level 0 there is one, later there are M.

    Beams are in the order of their keys, descending; a beam that is not valid has score -inf, node
    0, no rows and codes 0, so that it can be looked up like any other.

    Attributes:
      scores: float32 [B, M], sums of log-probabilities.
      keys: float32 [B, M], what beams are ranked by; None: by their scores.
      nodes: where the beams stand.
      codes: int32 [B, M, level], the codes so far.
      valid: bool [B, M].
      records: int32 [B, R, 128], the same and the codes below the beams, as kernels keep them
        (:mod:`genret_kernels.rows_level.layout`); None: no kernel has made them.
    """

    scores: Float[Array, "B M"]
    keys: Float[Array, "B M"] | None
    nodes: Nodes
    codes: Int[Array, "B M l"]
    valid: Bool[Array, "B M"]
    records: Int[Array, "B R C"] | None = None

    @classmethod
    def at_root(cls, searched: Searched, batch: int, sampling: bool = False) -> "BeamState":
        """Return one beam a request, at the root."""
        scores = jnp.zeros((batch, 1), jnp.float32)
        return cls(
            scores=scores,
            keys=scores if sampling else None,
            nodes=searched.at_root(batch),
            codes=jnp.zeros((batch, 1, 0), jnp.int32),
            valid=jnp.ones((batch, 1), bool),
        )


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class BeamResult:
    """The best items of each request, best first; padded where there are fewer than M.

    Attributes:
      items: int32 [B, M], item positions; padding: -1.
      scores: float32 [B, M], log-probabilities of the items' codes; padding: -inf.
      codes: int32 [B, M, L]; padding: -1; so are the levels after an end code.
      valid: bool [B, M], False for padding.
    """

    items: Int[Array, "B M"]
    scores: Float[Array, "B M"]
    codes: Int[Array, "B M L"]
    valid: Bool[Array, "B M"]

    @classmethod
    def of(
        cls,
        items: Int[Array, "B M"],
        scores: Float[Array, "B M"],
        codes: Int[Array, "B M L"],
        valid: Bool[Array, "B M"],
        end_code: int | None,
    ) -> "BeamResult":
        """Return ranked items as an answer, padded where they are not valid."""
        shown = jnp.broadcast_to(valid[..., None], codes.shape)
        if end_code is not None:
            shown &= ~_after_the_end(codes, end_code)
        return cls(
            items=jnp.where(valid, items, -1),
            scores=jnp.where(valid, scores, -jnp.inf),
            codes=jnp.where(shown, codes, -1),
            valid=valid,
        )


def constrained_step(
    searched: Searched,
    level: int,
    state: BeamState,
    readout: Readout,
    beams: int,
    *,
    beams_of: Int[Array, "B"] | None = None,
    normalize: str = "level",
    end_code: int | None = None,
    keys: Array | None = None,
) -> tuple[BeamState, Int[Array, "B beams"]]:
    """Extend the beams by one code, along edges of the trie that lead to an allowed item.

    The score of a candidate is its beam's plus the log-probability of its code. Ties are broken by
    beam and then by code, both ascending. A candidate of probability 0 is none.

    Args:
      searched: the items.
      level: level of the beams' nodes.
      state: the beams.
      readout: the model's, for this level.
      beams: M, beams to keep.
      beams_of: beams of each request, at most M; None: M each.
      normalize: over which codes log-probabilities are normalized: "level", "catalog" or "legal".
      end_code: the code after which a semantic ID has ended; None: there is none.
      keys: a key of ``jax.random`` for each request, to sample; None: the best are kept.

    Returns:
      The beams of the next level, and the beam that each extends.
    """
    ended = None
    if end_code is not None and level > 0:
        ended = state.codes[..., -1] == end_code
    scored = Scored.of(readout, state.scores, ended, normalize)
    if normalize == "catalog" and searched.is_restricted:
        normalizer = searched.unrestricted().normalizer(level, state.nodes, scored)
        scored = dataclasses.replace(scored, normalizer=normalizer)
    draw = None
    if keys is not None and state.keys is not None:
        draw = Draw.at_level(keys, level, state.keys)
    best, nodes = searched.best(level, state.nodes, scored, beams, draw)

    valid = best.order > -jnp.inf
    if beams_of is not None:
        valid &= jnp.arange(beams, dtype=jnp.int32)[None] < beams_of[:, None]
    parents = jnp.where(valid, best.parents, 0)
    code = jnp.where(valid, best.codes, 0)
    so_far = jnp.where(valid[..., None], take_beams(state.codes, parents), 0)
    extended = BeamState(
        scores=jnp.where(valid, best.scores, -jnp.inf),
        keys=None if best.keys is None else jnp.where(valid, best.keys, -jnp.inf),
        nodes=searched.where(valid, nodes),
        codes=jnp.concatenate([so_far, code[..., None]], axis=-1),
        valid=valid,
    )
    return extended, parents


def _after_the_end(codes: Int[Array, "B M L"], end_code: int) -> Bool[Array, "B M L"]:
    """Say which codes follow an end code; the first code is none."""
    is_end = (codes == end_code).at[..., 0].set(False).astype(jnp.int32)
    return jnp.cumsum(is_end, axis=-1, dtype=jnp.int32) - is_end > 0
