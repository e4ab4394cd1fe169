"""Segment: the trie of a set of items as arrays on the device, and the lookups in it."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.index._layout import Layout, LevelLayout
from genret.index.bits import rank, select, unpack_bits
from genret.typing import Array, Bool, Int


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("codes", "starts", "first_rows", "masks"),
    meta_fields=("num_codes", "layout"),
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class Level:
    """The edges from the nodes of a level to those of the next.

    Edges are numbered in the order of their first rows, and the child along edge ``e`` is node
    ``e`` of the next level: there are no child ids to store. The edge of a row is a count of the
    edges that start before it, so there are no row pointers either: a node with the rows
    [lo, hi) has the edges [rank(lo), rank(hi)).

    Attributes:
      codes: uint8, uint16 or uint32 [E]: the code of each edge; ascending in a node; padded.
      starts: rank bits (see ``bits.py``): the rows at which an edge starts; None: all do.
      first_rows: int32 [E + 1]: the first row of each edge, then N; None: they are selected
        among the bits.
      masks: uint32 [S, V / 32]: the codes of each node; dense levels only.
      num_codes: V, codes of the level.
      layout: how the level is stored and searched.
    """

    codes: Any
    starts: Any
    first_rows: Any
    masks: Any
    num_codes: int
    layout: LevelLayout

    def edges_before(self, rows: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Return the number of edges that start before each row, int32; rows are in [0, N]."""
        return rows if self.starts is None else rank(self.starts, rows)

    def edge_of_row(self, rows: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Return the edge above each row, int32; rows are in [0, N)."""
        return rows if self.starts is None else rank(self.starts, rows + 1) - 1

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
        last = end
        for _ in range(min(self.layout.steps, self.num_codes.bit_length())):
            middle = (first + last) // 2
            before = self.codes.at[middle].get(mode="clip").astype(jnp.int32) < codes
            first, last = (
                jnp.where(before & (first < last), middle + 1, first),
                jnp.where(before, last, middle),
            )
        found = self.codes.at[first].get(mode="clip").astype(jnp.int32) == codes
        return first, found & (first < end)

    def starts_on_host(self, num_rows: int) -> Bool[np.ndarray, "N"]:
        """Say for each row whether an edge starts there."""
        if self.starts is None:
            return np.ones(num_rows, bool)
        return unpack_bits(self.starts, num_rows)

    def rows_of(
        self, edges: Int[Array, "*shape"], lo: Int[Array, "*shape"], hi: Int[Array, "*shape"]
    ) -> tuple[Int[Array, "*shape"], Int[Array, "*shape"]]:
        """Return the rows below edges: those of an edge are ``[first, end)``.

        Args:
          edges: int32, edges of the node whose rows are [lo, hi).
          lo: int32.
          hi: int32.
        """
        if self.starts is None:
            return edges, edges + 1
        # An edge ends where the next one starts: both are asked for at once.
        both = jnp.stack([edges, edges + 1], axis=-1)
        if self.first_rows is not None:
            found = jnp.minimum(self.first_rows.at[both].get(mode="clip"), hi[..., None])
        else:
            most = 1 << (self.layout.steps - 1)
            found = select(self.starts, both, lo[..., None], hi[..., None], most)
        return found[..., 0], found[..., 1]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("levels", "positions", "num_rows"),
    meta_fields=("layout",),
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class Segment:
    """The valid semantic IDs of some items: a trie over the items sorted by semantic ID.

    The items in that order (items that share an ID: by position) are the *rows*; the items below a
    node are a range of rows.

    Attributes:
      levels: the edges of each level, [L].
      positions: int32 [N]: row -> item position; None: they are equal.
      num_rows: int32 scalar: N.
      layout: the static facts.
    """

    levels: tuple[Level, ...]
    positions: Any
    num_rows: Any
    layout: Layout

    def position_of(self, rows: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Return the item positions of rows, int32."""
        return rows if self.positions is None else self.positions.at[rows].get(mode="clip")

    def row_range(
        self, level: int, nodes: Int[Array, "*shape"]
    ) -> tuple[Int[Array, "*shape"], Int[Array, "*shape"]]:
        """Return the rows below nodes: those of a node are ``[lo, hi)``.

        Args:
          level: level of the nodes, 0 (the root) to L (the leaves).
          nodes: int32, nodes of that level.

        Returns:
          int32 lo and hi.
        """
        if level == 0:
            return jnp.zeros_like(nodes), jnp.broadcast_to(self.num_rows, nodes.shape)
        starts = self.levels[level - 1].starts
        if starts is None:
            return nodes, nodes + 1
        zero, end = jnp.zeros_like(nodes), jnp.broadcast_to(self.num_rows, nodes.shape)
        lo, hi = (select(starts, n, zero, end, self.layout.rows) for n in (nodes, nodes + 1))
        return lo, hi

    def codes_of_rows(self, level: int, rows: Int[Array, "*shape"]) -> Int[Array, "*shape T"]:
        """Return the codes of rows, from a level to the last, int32."""
        codes = [
            lv.codes.at[lv.edge_of_row(rows)].get(mode="clip").astype(jnp.int32)
            for lv in self.levels[level:]
        ]
        return jnp.stack(codes, axis=-1)
