"""What each request may not be answered, in one segment: filters and excluded items."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.decoding._sorted import count_before
from genret.decoding._state import NodeRange
from genret.index.allowed import AllowedRows
from genret.index.bits import low_bits, rank, window
from genret.index.segment import Segment
from genret.typing import Array, Bool, Int, UInt

NO_ROW = np.iinfo(np.int32).max
"""Padding of the excluded rows: larger than any row, so that it counts as none."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Restriction:
    """Which rows of a segment each request may be answered; either part may be None.

    Attributes:
      filters: the filters of the batch.
      filter_of: int32 [B], the filter of each request.
      excluded: int32 [B, X], ascending: the rows that the filter allows and the request excludes,
        each once, then padding.
    """

    filters: AllowedRows | None
    filter_of: Any
    excluded: Any

    @classmethod
    def of(
        cls,
        segment: Segment,
        filters: AllowedRows | None,
        filter_of: Int[Array, "B"] | None,
        exclude: Int[Array, "B X"] | None,
        row_of_item: Int[Array, "N"] | None,
    ) -> "Restriction | None":
        """Build the restriction of a batch, on the device.

        Args:
          segment: the segment.
          filters: the filters; None allows every item.
          filter_of: the filter of each request.
          exclude: item positions, counted from the segment's first, in any order, repeated or not;
            those outside are padding.
          row_of_item: the rows of the items; None: their positions.

        Returns:
          The restriction; None where there is none.
        """
        if filters is None and exclude is None:
            return None
        without = cls(filters=filters, filter_of=filter_of, excluded=None)
        if exclude is None:
            return without
        rows = exclude if row_of_item is None else row_of_item.at[exclude].get(mode="clip")
        rows = jnp.where((exclude >= 0) & (exclude < segment.num_rows), rows, NO_ROW)
        if filters is not None:
            allowed = without.window(jnp.where(rows == NO_ROW, 0, rows))
            rows = jnp.where(allowed & 1 == 1, rows, NO_ROW)  # not to be subtracted twice
        rows = jnp.sort(rows, axis=1)
        repeated = jnp.pad(rows[:, 1:] == rows[:, :-1], ((0, 0), (1, 0)))
        rows = jnp.sort(jnp.where(repeated, NO_ROW, rows), axis=1)
        return cls(filters=filters, filter_of=filter_of, excluded=rows)

    def filter_before(self, rows: Int[Array, "B *shape"]) -> Int[Array, "B *shape"]:
        """Return the number of rows before each row that the filter allows; rows in [0, N]."""
        if self.filters is None:
            return rows
        item_filter = self.filter_of.reshape(-1, *[1] * (rows.ndim - 1))
        return rank(self.filters.rows, rows, item_filter)

    def excluded_before(self, rows: Int[Array, "B K"]) -> Int[Array, "B K"]:
        """Return the number of excluded rows before each row."""
        return count_before(self.excluded, rows)

    def allowed_before(self, rows: Int[Array, "B *shape"]) -> Int[Array, "B *shape"]:
        """Return the number of allowed rows before each row, int32; rows are in [0, N]."""
        allowed = self.filter_before(rows)
        if self.excluded is not None:
            count = self.excluded_before(rows.reshape(rows.shape[0], -1))
            allowed = allowed - count.reshape(rows.shape)
        return allowed

    def window(self, lo: Int[Array, "B M"]) -> UInt[Array, "B M"]:
        """Return a word for each beam: which of the 32 rows from ``lo`` on are allowed, uint32."""
        allowed = jnp.full(lo.shape, 0xFFFFFFFF, jnp.uint32)
        if self.filters is not None:
            allowed = window(self.filters.rows, lo, self.filter_of[:, None])
        if self.excluded is not None:
            # Each excluded row is there once: their bits add up.
            offset = self.excluded[:, None] - lo[..., None]
            inside = (offset >= 0) & (offset < 32)
            bits = jnp.uint32(1) << jnp.where(inside, offset, 0).astype(jnp.uint32)
            allowed &= ~jnp.where(inside, bits, 0).sum(axis=-1, dtype=jnp.uint32)
        return allowed

    def masks(self, segment: Segment, level: int, place: NodeRange) -> UInt[Array, "B M W"]:
        """Return the codes of dense nodes that lead to an allowed row, uint32 words."""
        if self.filters is None:
            words = segment.levels[level].masks.at[place.nodes].get(mode="clip")
        else:
            chosen = self.filters.masks[level].at[self.filter_of[:, None], place.nodes]
            words = chosen.get(mode="clip")
        if self.excluded is None:
            return words
        edges, dead = self.dead_edges(segment, level)
        rows = self.excluded[:, None]
        above = (rows >= place.lo[..., None]) & (rows < place.hi[..., None]) & dead[:, None]
        codes = segment.levels[level].codes.at[edges].get(mode="clip").astype(jnp.int32)
        # The bits of dead edges are set, and each is there once: they can be subtracted.
        bits = jnp.where(above.any(axis=1), jnp.uint32(1) << (codes % 32).astype(jnp.uint32), 0)
        # Request by request: XLA then need not ask where the others' words are.
        cleared = jax.vmap(lambda own, beam, word, bit: own.at[beam, word].add(-bit))
        return cleared(words, jnp.argmax(above, axis=1), codes // 32, bits)

    def dead_edges(
        self, segment: Segment, level: int
    ) -> tuple[Int[Array, "B X"], Bool[Array, "B X"]]:
        """Return the edges above the excluded rows, and which have no allowed row left.

        At most one edge a level dies for each excluded row, so these are all that exclusions change.
        Of an edge above several excluded rows, only the first is said to be dead.
        """
        real = self.excluded != NO_ROW
        rows = jnp.where(real, self.excluded, 0)
        stored = segment.levels[level]
        edges = stored.edge_of_row(rows)
        if stored.first_rows is None:
            lo, hi = segment.row_range(level + 1, edges)
        else:
            end = jnp.broadcast_to(segment.num_rows, edges.shape)
            lo, hi = stored.rows_of(edges, rows, end)
        allowed = self.filter_before(hi) - self.filter_before(lo)
        excluded = self.excluded_before(hi) - self.excluded_before(lo)
        again = jnp.pad(edges[:, 1:] == edges[:, :-1], ((0, 0), (1, 0)))
        return edges, real & (allowed == excluded) & ~again

    def nth_allowed(
        self,
        lo: Int[Array, "B K"],
        hi: Int[Array, "B K"],
        nth: Int[Array, "B K"],
        steps: int,
    ) -> Int[Array, "B K"]:
        """Return the ``nth`` (from 0) allowed row of [lo, hi), by bisection on the counts."""
        wanted = self.allowed_before(lo) + nth
        # Invariant: at most `wanted` rows are allowed before `lo`, more than that before `hi`.
        for _ in range(steps):
            middle = lo + (hi - lo) // 2
            enough = self.allowed_before(middle) > wanted
            lo, hi = jnp.where(enough, lo, middle), jnp.where(enough, middle, hi)
        return lo


def segment_any(
    starts: UInt[Array, "*shape"], allowed: UInt[Array, "*shape"]
) -> UInt[Array, "*shape"]:
    """Return the start bits of the runs of rows that hold an allowed row, uint32.

    A run goes from one start to before the next; the runs of a word are of at most 32 rows.

    >>> hex(int(segment_any(jnp.uint32(0b1001), jnp.uint32(0b0110))))  # rows 0 to 2, rows 3 to 31
    '0x1'
    """
    # Allowed bits move down to their start, doubling their step, and never over a start.
    blocked = starts
    for shift in (1, 2, 4, 8, 16):
        allowed |= (allowed & ~blocked) >> shift
        # A bit may not cross any of the starts between: those of the next step's distance.
        blocked |= blocked << shift
    return allowed & starts


def rows_in_window(place: NodeRange) -> UInt[Array, "B M"]:
    """Return the bits of a window that are rows of the node, uint32."""
    return low_bits(place.hi - place.lo)
