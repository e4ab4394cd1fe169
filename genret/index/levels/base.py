"""What all kinds of levels have in common: edges, their codes, and where their rows begin."""

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genret.index.bits import (
    WORD_BITS,
    cleared,
    cleared_by_product,
    pack_bits,
    rank,
    select,
    unpack_bits,
)
from genret.index.layout import LayoutRules, LevelLayout, LevelShape
from genret.index.nodes import NodeRange
from genret.index.restriction import NO_ROW, Restriction
from genret.pytree import static_field
from genret.typing import Array, Bool, Int, Shaped, UInt


@dataclasses.dataclass(frozen=True, kw_only=True)
class LevelParts:
    """What a level is built from, on the host.

    Attributes:
      codes: the code of each edge, unsigned integers [E].
      above: bool [N], the rows at which a node of the level starts.
      starts: bool [N], the rows at which an edge starts.
      num_codes: codes of the level.
      number: of the level.
      layout: how to store it.
      room: capacity, rows.
    """

    codes: UInt[np.ndarray, "E"]
    above: Bool[np.ndarray, "N"]
    starts: Bool[np.ndarray, "N"]
    num_codes: int
    number: int
    layout: LevelLayout
    room: int

    # What is on the host is put on the device as it is: jnp.asarray compiles a program for each shape.

    def padded_codes(self) -> UInt[Array, "E2"]:
        """Return the codes on the device, padded to the capacity."""
        return jax.device_put(np.pad(self.codes, (0, self.layout.edges - self.codes.size)))

    def start_bits(self) -> UInt[Array, "W"]:
        """Return the rank bits of the rows at which an edge starts, on the device."""
        return jax.device_put(pack_bits(self.starts, self.room))

    def first_rows(self) -> Int[Array, "E2"] | None:
        """Return the first row of each edge, then N, on the device; None: they are not stored."""
        if not self.layout.first_rows:
            return None
        rows = np.full(self.layout.edges + 1, self.starts.size, np.int32)
        rows[: self.codes.size] = np.flatnonzero(self.starts)
        return jax.device_put(rows)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EdgesOnHost:
    """The edges of a level, on the host: what a filter's bits are made from.

    Attributes:
      first_rows: int64 [E], the first row of each edge.
      nodes: int64 [E], the node that each edge leaves; None where the level's bits need none.
      codes: the code of each edge, [E]; None likewise.
    """

    first_rows: Int[np.ndarray, "E"]
    nodes: Int[np.ndarray, "E"] | None = None
    codes: UInt[np.ndarray, "E"] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Children:
    """The children of beams at a level, in slots: K for each beam, in the order of their codes.

    Attributes:
      legal: bool [B, M, K]: whether there is a child in the slot that leads to an allowed item.
      codes: int32 [B, M, K], the code of each slot; None: slot ``c`` has code ``c``.
    """

    legal: Bool[Array, "B M K"]
    codes: Int[Array, "B M K"] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Level(abc.ABC):
    """The edges from the nodes of a level to those of the next.

    Edges are numbered in the order of their first rows, and the child along edge ``e`` is node
    ``e`` of the next level: there are no child ids to store. The edge of a row is a count of the
    edges that start before it, so there are no row pointers either: a node with the rows
    [lo, hi) has the edges [rank(lo), rank(hi)).

    Attributes:
      codes: uint8, uint16 or uint32 [E]: the code of each edge; ascending in a node; padded.
      num_codes: V, codes of the level.
      number: of the level, 0 at the root.
      layout: how the level is stored and searched.
    """

    kind: ClassVar[str]
    """Name of the kind."""

    codes: UInt[Array, "E"]
    num_codes: int = static_field()
    number: int = static_field()
    layout: LevelLayout = static_field()

    # Storage

    @classmethod
    @abc.abstractmethod
    def layout_for(cls, shape: LevelShape, rules: LayoutRules) -> LevelLayout | None:
        """Return how to store a level of a shape; None where another kind has to."""

    @classmethod
    @abc.abstractmethod
    def build(cls, parts: LevelParts) -> "Level":
        """Put a level on the device."""

    @classmethod
    @abc.abstractmethod
    def fits(cls, layout: LevelLayout, shape: LevelShape) -> bool:
        """Say whether a level can be stored in a layout of this kind that was made for another."""

    @abc.abstractmethod
    def starts_on_host(self, num_rows: int) -> Bool[np.ndarray, "N"]:
        """Say for each row whether an edge starts there."""

    def column(self, num_rows: int) -> UInt[np.ndarray, "N"]:
        """Return the codes of the level by row, on the host."""
        return np.asarray(self.codes)[np.cumsum(self.starts_on_host(num_rows)) - 1]

    def edges_on_host(
        self, num_rows: int, above: Callable[[], Bool[np.ndarray, "N"]]
    ) -> EdgesOnHost | None:
        """Read back what :meth:`allowed_bits` asks for; None: a filter has no bits for the level.

        Args:
          num_rows: N, rows of the trie.
          above: returns the rows at which a node of the level starts.
        """
        return None

    def allowed_bits(
        self, edges: EdgesOnHost, leads: Bool[np.ndarray, "E"]
    ) -> UInt[np.ndarray, "..."]:
        """Return the bits that a filter stores for the level.

        Args:
          edges: the edges.
          leads: bool [E], which of them lead to an allowed row.
        """
        raise NotImplementedError(f"a {self.kind} level asks a filter for its rows")

    # Rows and edges

    @abc.abstractmethod
    def edges_before(self, rows: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Return the number of edges that start before each row, int32; rows are in [0, N]."""

    @abc.abstractmethod
    def edge_of_row(self, rows: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Return the edge above each row, int32; rows are in [0, N)."""

    @abc.abstractmethod
    def rows_of(
        self, edges: Int[Array, "*shape"], lo: Int[Array, "*shape"], hi: Int[Array, "*shape"]
    ) -> tuple[Int[Array, "*shape"], Int[Array, "*shape"]]:
        """Return the rows below edges: those of an edge are ``[first, end)``.

        Args:
          edges: int32, edges of the node whose rows are [lo, hi).
          lo: int32.
          hi: int32.
        """

    @abc.abstractmethod
    def rows_of_any(
        self, edges: Int[Array, "*shape"], num_rows: Int[Array, ""], capacity: int
    ) -> tuple[Int[Array, "*shape"], Int[Array, "*shape"]]:
        """Return the rows below edges of any nodes, in a trie of ``num_rows``: as :meth:`rows_of`."""

    def codes_at(self, edges: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Return the codes of edges, int32."""
        return self.codes.at[edges].get(mode="clip").astype(jnp.int32)

    def child(
        self,
        lo: Int[Array, "*shape"],
        hi: Int[Array, "*shape"],
        codes: Int[Array, "*shape"],
    ) -> tuple[Int[Array, "*shape"], Bool[Array, "*shape"]]:
        """Find the child of each node along a code, by bisection.

        Args:
          lo: int32, the first row of each node.
          hi: int32, the row after its last one.
          codes: int32.

        Returns:
          The edge, int32, and whether there is one (else the edge is any).
        """
        first, end = self.edges_before(lo), self.edges_before(hi)
        # One number is carried, as in `count_before`: a step that carries two bounds takes XLA's
        # compiler far longer.
        left = min(1 << (self.layout.steps - 1), self.num_codes)  # edges that may still come before
        while left:
            step = (left + 1) // 2
            last = first + (step - 1)
            before = (last < end) & (self.codes_at(last) < codes)
            first = jnp.where(before, first + step, first)
            left -= step
        return first, (self.codes_at(first) == codes) & (first < end)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeadCodes:
    """The codes of a level that exclusions may leave without an allowed row.

    Attributes:
      rows: int32 [B, X], excluded rows; :data:`NO_ROW` is padding.
      codes: int32 [B, X], the codes of these rows.
      dead: bool [B, X], whether the edge above a row has no allowed one; of several rows below the
        same edge, one says so.
    """

    rows: Int[Array, "B X"]
    codes: Int[Array, "B X"]
    dead: Bool[Array, "B X"]

    def cleared(self, words: UInt[Array, "B M W"], nodes: NodeRange) -> UInt[Array, "B M W"]:
        """Clear the bits of the dead codes.

        Args:
          words: uint32, the codes of each beam that lead to a row that its filter allows.
          nodes: where the beams stand.
        """
        rows = self.rows[:, None]
        above = (rows >= nodes.lo[..., None]) & (rows < nodes.hi[..., None])
        above &= self.dead[:, None]
        bits = jnp.uint32(1) << (self.codes % WORD_BITS).astype(jnp.uint32)
        bits = jnp.where(above.any(axis=1), bits, 0)
        beam = jax.lax.argmax(above, 1, jnp.int32)
        return jax.lax.platform_dependent(
            words, beam, self.codes // WORD_BITS, bits, tpu=cleared_by_product, default=cleared
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BranchingLevel(Level):
    """A level whose nodes may have several rows, so that edges start at some rows only.

    Attributes:
      starts: rank bits (see ``bits.py``): the rows at which an edge starts.
      first_rows: int32 [E + 1]: the first row of each edge, then N; None: they are selected
        among the bits.
    """

    starts: UInt[Array, "W"]
    first_rows: Int[Array, "E1"] | None

    @classmethod
    def fits(cls, layout: LevelLayout, shape: LevelShape) -> bool:
        """See :meth:`Level.fits`."""
        return layout.fits(shape)

    def starts_on_host(self, num_rows: int) -> Bool[np.ndarray, "N"]:
        """See :meth:`Level.starts_on_host`."""
        return unpack_bits(self.starts, num_rows)

    def edges_before(self, rows: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """See :meth:`Level.edges_before`."""
        return rank(self.starts, rows)

    def edge_of_row(self, rows: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """See :meth:`Level.edge_of_row`."""
        return rank(self.starts, rows + 1) - 1

    def rows_of(
        self, edges: Int[Array, "*shape"], lo: Int[Array, "*shape"], hi: Int[Array, "*shape"]
    ) -> tuple[Int[Array, "*shape"], Int[Array, "*shape"]]:
        """See :meth:`Level.rows_of`."""
        # An edge ends where the next one starts: both are asked for at once.
        both = jnp.stack([edges, edges + 1], axis=-1)
        if self.first_rows is not None:
            found = jnp.minimum(self.first_rows.at[both].get(mode="clip"), hi[..., None])
        else:
            most = 1 << (self.layout.steps - 1)
            found = select(self.starts, both, lo[..., None], hi[..., None], most)
        return found[..., 0], found[..., 1]

    def rows_of_any(
        self, edges: Int[Array, "*shape"], num_rows: Int[Array, ""], capacity: int
    ) -> tuple[Int[Array, "*shape"], Int[Array, "*shape"]]:
        """See :meth:`Level.rows_of_any`."""
        zero, end = jnp.zeros_like(edges), jnp.broadcast_to(num_rows, edges.shape)
        lo, hi = (select(self.starts, n, zero, end, capacity) for n in (edges, edges + 1))
        return lo, hi

    def dead_edges(
        self, restriction: Restriction
    ) -> tuple[Int[Array, "B X"], Bool[Array, "B X"]] | None:
        """Return the edges above the excluded rows, and which have no allowed row left.

        At most one edge dies for each excluded row, so these are all that exclusions change. Of an
        edge above several excluded rows, only the first is said to be dead. None: no exclusions.
        """
        if restriction.excluded is None:
            return None
        real = restriction.excluded != NO_ROW
        rows = jnp.where(real, restriction.excluded, 0)
        edges = self.edge_of_row(rows)
        if self.first_rows is None:
            lo, hi = self.rows_of_any(edges, restriction.num_rows, restriction.capacity)
        else:
            end = jnp.broadcast_to(restriction.num_rows, edges.shape)
            lo, hi = self.rows_of(edges, rows, end)
        allowed = restriction.filter_before(hi) - restriction.filter_before(lo)
        excluded = restriction.excluded_before(hi) - restriction.excluded_before(lo)
        again = jnp.pad(edges[:, 1:] == edges[:, :-1], ((0, 0), (1, 0)))
        return edges, real & (allowed == excluded) & ~again

    def dead_codes(self, restriction: Restriction) -> DeadCodes | None:
        """Return the codes along :meth:`dead_edges`; None: no exclusions."""
        found = self.dead_edges(restriction)
        if found is None or restriction.excluded is None:
            return None
        edges, dead = found
        return DeadCodes(rows=restriction.excluded, codes=self.codes_at(edges), dead=dead)


def take_slots(
    values: Shaped[Array, "B M K2"], parents: Int[Array, "B K"], slots: Int[Array, "B K"]
) -> Shaped[Array, "B K"]:
    """Return the values of chosen slots of beams."""
    flat = values.reshape(values.shape[0], -1)
    where = parents * values.shape[2] + slots
    return jnp.take_along_axis(flat, where, axis=1, mode="clip")
