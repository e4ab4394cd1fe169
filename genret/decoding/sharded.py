"""The search of an index in parts: each device searches its own, and the best of all are merged."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.decoding.beams import Nodes, OneTrie, Searched
from genret.decoding.candidates import Candidates
from genret.decoding.live import TwoTries, tries_of
from genret.decoding.readout import Draw, Scored
from genret.errors import GenretError
from genret.index.layout import Layout
from genret.index.live import RowOfItem
from genret.index.parts import Parts
from genret.index.restriction import AllowedRows
from genret.index.sharded import ShardedTrie
from genret.index.trie import Trie
from genret.typing import Array, Bool, Float, Int, Shaped


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnePart:
    """The part of a device, and the way to the others: see :class:`genret.decoding.beams.Searched`.

    All devices have the same beams. A beam stands in each part that has some of its rows; in the
    others it has none. Rows are numbered part by part, with the room that each has.

    Attributes:
      own: the part of this device; the last device's has the inserted items of a live index.
      whole: layout of the trie that was cut: a search takes its decisions by that one.
      axis: the mesh axis along which the parts lie.
      parts: n.
    """

    own: Searched[Any]
    whole: Layout
    axis: str
    parts: int

    @classmethod
    def of(cls, own: OneTrie | TwoTries, trie: ShardedTrie) -> "OnePart":
        """Return the part of this device.

        Raises:
          GenretError: rows of all parts cannot be numbered.
        """
        part = cls(own=own, whole=trie.layout, axis=trie.parts.axis, parts=trie.parts.size)
        if part.parts * part._room > np.iinfo(np.int32).max:
            raise GenretError(
                f"index: found {part.parts} parts with room for {part._room} items, "
                "expected room for less than 2**31 in all"
            )
        return part

    @property
    def layout(self) -> Layout:
        """See :attr:`Searched.layout`."""
        return self.whole

    @property
    def is_restricted(self) -> bool:
        """See :attr:`Searched.is_restricted`."""
        return self.own.is_restricted

    def unrestricted(self) -> "OnePart":
        """See :meth:`Searched.unrestricted`."""
        return dataclasses.replace(self, own=self.own.unrestricted())

    def at_root(self, batch: int) -> Nodes:
        """See :meth:`Searched.at_root`."""
        nodes: Nodes = self.own.at_root(batch)
        if not isinstance(nodes, tuple):
            return nodes
        first, second = nodes
        is_last = jax.lax.axis_index(self.axis) == self.parts - 1
        return first, second.where(jnp.broadcast_to(is_last, second.lo.shape))

    def best(
        self, level: int, nodes: Nodes, scored: Scored, beams: int, draw: Draw | None
    ) -> tuple[Candidates, Nodes]:
        """See :meth:`Searched.best`; scores are normalized over the codes of the level.

        The best M of all are among the M best of each part. A child on both sides of a cut comes
        from both, with one score; it is taken once, and stands in both.
        """
        assert draw is None
        assert scored.normalizer is not None
        found, _ = self.own.best(level, nodes, scored, beams, None)
        bits = jax.lax.bitcast_convert_type(found.scores, jnp.int32)
        packed = self._gathered(jnp.stack([bits, found.parents, found.codes], axis=-1))
        every = jnp.moveaxis(packed, 0, 1).reshape(bits.shape[0], -1, 3)
        scores = jax.lax.bitcast_convert_type(every[..., 0], jnp.float32)
        scores, parents, codes = best_of_parts(scores, every[..., 1], every[..., 2], beams)
        best = dataclasses.replace(found, scores=scores, parents=parents, codes=codes)
        return best, self.descend(level, nodes, parents, codes)

    def normalizer(self, level: int, nodes: Nodes, scored: Scored) -> Float[Array, "B M"]:
        """See :meth:`Searched.normalizer`; no search of an index in parts asks for it."""
        raise NotImplementedError("scores are normalized over the codes of the level")

    def where(self, valid: Bool[Array, "B M"], nodes: Nodes) -> Nodes:
        """See :meth:`Searched.where`."""
        return self.own.where(valid, nodes)

    def counts_below(self, nodes: Nodes) -> Int[Array, "B R"]:
        """See :meth:`Searched.counts_below`: the ranges of a beam lie part by part."""
        counts = self.own.counts_below(nodes)
        ranges = counts.reshape(counts.shape[0], -1, self._tries)
        every = jnp.moveaxis(self._gathered(ranges), 0, 2)
        return every.reshape(counts.shape[0], -1)

    def rows_below(
        self, level: int, nodes: Nodes, which: Int[Array, "B C"], nth: Int[Array, "B C"]
    ) -> tuple[Int[Array, "B C"], Int[Array, "B C"]]:
        """See :meth:`Searched.rows_below`; only the owner of a row knows more than whose it is."""
        beam, rest = jnp.divmod(which, self.parts * self._tries)
        owner, number = jnp.divmod(rest, self._tries)
        _, row = self.own.rows_below(level, nodes, beam * self._tries + number, nth)
        return beam, owner * self._room + jnp.clip(row, 0, self._room - 1)

    def positions_of(self, rows: Int[Array, "B C"]) -> Int[Array, "B C"]:
        """See :meth:`Searched.positions_of`."""
        return self._of_owners(rows, self.own.positions_of(rows % self._room))

    def codes_of(self, level: int, rows: Int[Array, "B C"]) -> Int[Array, "B C T"]:
        """See :meth:`Searched.codes_of`."""
        return self._of_owners(rows, self.own.codes_of(level, rows % self._room))

    def rows_of(
        self, items: Int[Array, "B C"], row_of_item: RowOfItem
    ) -> tuple[Int[Array, "B C"], Bool[Array, "B C"]]:
        """See :meth:`Searched.rows_of`; no search of an index in parts asks for it."""
        raise NotImplementedError("items that are given are scored with a whole index")

    def descend(
        self, level: int, nodes: Nodes, parents: Int[Array, "B C"], codes: Int[Array, "B C"]
    ) -> Nodes:
        """See :meth:`Searched.descend`; where the children have no rows in this part, nowhere."""
        return self.own.descend(level, nodes, parents, codes)

    def _of_owners(
        self, rows: Int[Array, "B C"], values: Shaped[Array, "B C *rest"]
    ) -> Shaped[Array, "B C *rest"]:
        """Return of each row's value the one that its owner has."""
        owner = (rows // self._room).reshape(1, *rows.shape, *[1] * (values.ndim - 2))
        return jnp.take_along_axis(self._gathered(values), owner, axis=0, mode="clip")[0]

    def _gathered(self, values: Shaped[Array, "*shape"]) -> Shaped[Array, "n *shape"]:
        return jax.lax.all_gather(values, self.axis)

    @property
    def _tries(self) -> int:
        return len(tries_of(self.own))

    @property
    def _room(self) -> int:
        """Rows that a part has room for, inserted ones included."""
        return sum(part.trie.layout.rows for part in tries_of(self.own))


def best_of_parts(
    scores: Float[Array, "B K"], parents: Int[Array, "B K"], codes: Int[Array, "B K"], beams: int
) -> tuple[Float[Array, "B beams"], Int[Array, "B beams"], Int[Array, "B beams"]]:
    """Choose the best of the candidates of all parts, each once; equal ones by beam and then by code.

    Args:
      scores: float32, -inf for no candidate; those of one child are equal.
      parents: int32, the beam that each extends.
      codes: int32, its code.
      beams: how many to choose, at most K.

    >>> scores, parents, codes = jnp.array([[-1.0, -2, -1, -3]]), jnp.zeros((1, 4), int), [[5, 7, 5, 2]]
    >>> [x.tolist() for x in best_of_parts(scores, parents, jnp.array(codes), 3)]
    [[[-1.0, -2.0, -3.0]], [[0, 0, 0]], [[5, 7, 2]]]
    """
    order, parents, codes = jax.lax.sort((-scores, parents, codes), dimension=1, num_keys=3)
    same = (parents[:, 1:] == parents[:, :-1]) & (codes[:, 1:] == codes[:, :-1])
    again = jnp.pad(same & (order[:, 1:] < jnp.inf), ((0, 0), (1, 0)))
    order = jnp.where(again, jnp.inf, order)
    order, parents, codes = jax.lax.sort((order, parents, codes), dimension=1, num_keys=3)
    return -order[:, :beams], parents[:, :beams], codes[:, :beams]


def own_part(
    trie: Trie | ShardedTrie,
    filters: AllowedRows | Parts[AllowedRows] | None,
    filter_of: Int[Array, "B"] | None,
    exclude: Int[Array, "B X"] | None,
    row_of_item: Int[Array, "N"] | Parts[Array] | None,
) -> OneTrie:
    """Return what this device has of a trie, and what the requests may not be answered of it.

    Args:
      trie: the trie, whole or in parts.
      filters: sets of its rows.
      filter_of: the filter of each request.
      exclude: item positions that a request must not be answered.
      row_of_item: from :meth:`Trie.row_of_item` or :meth:`ShardedTrie.row_of_item`.
    """
    if isinstance(trie, ShardedTrie):
        own = trie.parts.own()
        filters = filters.own() if isinstance(filters, Parts) else filters
        if exclude is not None:
            exclude = _rows_here(own, exclude, row_of_item)
        return OneTrie(trie=own, restriction=own.restricted(filters, filter_of, exclude, None))
    assert not isinstance(filters, Parts)
    assert not isinstance(row_of_item, Parts)
    return OneTrie(trie=trie, restriction=trie.restricted(filters, filter_of, exclude, row_of_item))


def _rows_here(
    own: Trie, items: Int[Array, "B X"], row_of_item: Int[Array, "N"] | Parts[Array] | None
) -> Int[Array, "B X"]:
    """Return the rows of items in a part; -1: they are not there."""
    if own.positions is None or not isinstance(row_of_item, Parts):
        assert own.first_position is not None
        rows = items - own.first_position
        return jnp.where((rows >= 0) & (rows < own.num_rows), rows, -1)
    order = row_of_item.own()
    low, high = jnp.zeros_like(items), jnp.broadcast_to(own.num_rows, items.shape)
    for _ in range(order.shape[0].bit_length()):  # the first with no smaller position
        middle = (low + high) // 2
        before = own.position_of(order.at[middle].get(mode="clip")) < items
        before &= low < high
        low, high = jnp.where(before, middle + 1, low), jnp.where(before, high, middle)
    rows = order.at[low].get(mode="clip")
    found = (low < own.num_rows) & (own.position_of(rows) == items) & (items >= 0)
    return jnp.where(found, rows, -1)
