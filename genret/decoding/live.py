"""The search of a live index: one beam over the trie that was built and that of inserted items."""

import dataclasses

import jax
import jax.numpy as jnp

from genret.decoding.beams import OneTrie, Searched
from genret.decoding.candidates import Candidates, best_of_passes, largest_drawn
from genret.decoding.passes import Passes
from genret.decoding.readout import Draw, Scored
from genret.index.layout import Layout
from genret.index.levels import RaggedLevel
from genret.index.live import RowOfItem
from genret.index.nodes import NodeRange
from genret.typing import Array, Bool, Float, Int

Pair = tuple[NodeRange, NodeRange]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoTries:
    """Two tries that are searched as one: see :class:`genret.decoding.beams.Searched`.

    A child that the first trie may answer is that trie's, and the second leaves it out: no child
    competes, is added up or draws twice. Rows of the second trie are numbered after the room for
    those of the first.

    Attributes:
      first: the trie that was built.
      second: that of inserted items; its levels are ragged.
    """

    first: OneTrie
    second: OneTrie

    @property
    def layout(self) -> Layout:
        """See :attr:`Searched.layout`."""
        return self.first.layout

    @property
    def is_restricted(self) -> bool:
        """See :attr:`Searched.is_restricted`."""
        return self.first.is_restricted or self.second.is_restricted

    def unrestricted(self) -> "TwoTries":
        """See :meth:`Searched.unrestricted`."""
        return TwoTries(first=self.first.unrestricted(), second=self.second.unrestricted())

    def at_root(self, batch: int) -> Pair:
        """See :meth:`Searched.at_root`."""
        return self.first.at_root(batch), self.second.at_root(batch)

    def best(
        self, level: int, nodes: Pair, scored: Scored, beams: int, draw: Draw | None
    ) -> tuple[Candidates, Pair]:
        """See :meth:`Searched.best`."""
        if scored.normalizer is None:
            normalizer = self.normalizer(level, nodes, scored)
            scored = dataclasses.replace(scored, normalizer=normalizer)
        passes = self._passes(level, nodes, scored, beams)
        apart = None
        if draw is not None:
            apart = draw.of_trie(1)
            stored, restriction = self.first.trie.levels[level], self.first.restriction
            own = largest_drawn(stored, nodes[0], scored, restriction, beams, draw)
            largest = jnp.maximum(own, passes.largest(apart))
            draw = dataclasses.replace(draw, largest=largest)
            apart = dataclasses.replace(apart, largest=largest)
        one, _ = self.first.best(level, nodes[0], scored, beams, draw)
        best = _best_of(one, best_of_passes(passes, nodes[1], beams, apart), beams)
        return best, self.descend(level, nodes, best.parents, best.codes)

    def normalizer(self, level: int, nodes: Pair, scored: Scored) -> Float[Array, "B M"]:
        """See :meth:`Searched.normalizer`."""
        own = self.first.normalizer(level, nodes[0], scored)
        return jnp.logaddexp(own, self._passes(level, nodes, scored, 1).normalizer())

    def where(self, valid: Bool[Array, "B M"], nodes: Pair) -> Pair:
        """See :meth:`Searched.where`."""
        return nodes[0].where(valid), nodes[1].where(valid)

    def counts_below(self, nodes: Pair) -> Int[Array, "B R"]:
        """See :meth:`Searched.counts_below`."""
        counts = self.first.counts_below(nodes[0]), self.second.counts_below(nodes[1])
        return jnp.stack(counts, axis=-1).reshape(counts[0].shape[0], -1)

    def rows_below(
        self, level: int, nodes: Pair, which: Int[Array, "B C"], nth: Int[Array, "B C"]
    ) -> tuple[Int[Array, "B C"], Int[Array, "B C"]]:
        """See :meth:`Searched.rows_below`."""
        beam = which // 2
        _, row = self.first.rows_below(level, nodes[0], beam, nth)
        _, more = self.second.rows_below(level, nodes[1], beam, nth)
        return beam, jnp.where(which % 2 == 0, row, more + self.layout.rows)

    def positions_of(self, rows: Int[Array, "B C"]) -> Int[Array, "B C"]:
        """See :meth:`Searched.positions_of`."""
        own = self.first.positions_of(rows)
        more = self.second.positions_of(rows - self.layout.rows)
        return jnp.where(rows < self.layout.rows, own, more)

    def codes_of(self, level: int, rows: Int[Array, "B C"]) -> Int[Array, "B C T"]:
        """See :meth:`Searched.codes_of`."""
        own = self.first.codes_of(level, jnp.minimum(rows, self.layout.rows))
        more = self.second.codes_of(level, jnp.maximum(rows - self.layout.rows, 0))
        return jnp.where((rows < self.layout.rows)[..., None], own, more)

    def rows_of(
        self,
        items: Int[Array, "B C"],
        row_of_item: RowOfItem,
    ) -> tuple[Int[Array, "B C"], Bool[Array, "B C"]]:
        """See :meth:`Searched.rows_of`."""
        assert isinstance(row_of_item, tuple)
        count = self.first.trie.num_rows
        own, allowed = self.first.rows_of(items, row_of_item[0])
        more, also = self.second.rows_of(items - count, row_of_item[1])
        rows = jnp.where(items < count, own, more + self.layout.rows)
        return rows, allowed | also

    def descend(
        self, level: int, nodes: Pair, parents: Int[Array, "B C"], codes: Int[Array, "B C"]
    ) -> Pair:
        """See :meth:`Searched.descend`."""
        return (
            self.first.descend(level, nodes[0], parents, codes),
            self.second.descend(level, nodes[1], parents, codes),
        )

    def _passes(self, level: int, nodes: Pair, scored: Scored, beams: int) -> Passes:
        """Return the passes over the second trie's children that the first one lacks."""

        def is_first(beam: Int[Array, "B C"], codes: Int[Array, "B C"]) -> Bool[Array, "B C"]:
            lo, hi = nodes[0].rows_of(beam)
            edges, found = self.first.trie.levels[level].child(lo, hi, codes)
            if self.first.restriction is None:
                return found
            begin, end = self.first.trie.levels[level].rows_of(edges, lo, hi)
            return found & self.first.restriction.holds_any(begin, end)

        stored = self.second.trie.levels[level]
        assert isinstance(stored, RaggedLevel)
        return Passes.over(stored, nodes[1], scored, self.second.restriction, beams, is_first)


def _best_of(one: Candidates, two: Candidates, beams: int) -> Candidates:
    """Choose the best of both; equal ones by beam and then by code."""
    parts = (
        (-one.order, -two.order),
        (one.parents, two.parents),
        (one.codes, two.codes),
        (one.scores, two.scores),
    )
    joined = [jnp.concatenate(pair, axis=1) for pair in parts]
    order, parents, codes, scores = jax.lax.sort(joined, dimension=1, num_keys=3)
    return Candidates(
        scores=scores[:, :beams],
        keys=None if one.keys is None else -order[:, :beams],
        parents=parents[:, :beams],
        codes=codes[:, :beams],
        nodes=one.nodes,  # to be looked up
    )


def tries_of(searched: Searched) -> list[OneTrie]:
    """Return the tries apart from each other."""
    if isinstance(searched, TwoTries):
        return [searched.first, searched.second]
    assert isinstance(searched, OneTrie)
    return [searched]
