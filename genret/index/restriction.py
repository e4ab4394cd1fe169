"""What each request may not be answered, in one trie: filters and excluded items."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from genret.index.bits import low_bits, rank, window
from genret.index.nodes import NodeRange, count_before
from genret.pytree import register_pytree, static_field
from genret.typing import Array, Bool, Int, UInt

NO_ROW = np.iinfo(np.int32).max
"""Padding of the excluded rows: larger than any row, so that it counts as none."""


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class AllowedRows:
    """Sets of allowed rows of a trie, as bits that a step reads instead of the trie's own.

    Attributes:
      rows: uint32 [P, 8 n], rank bits of the rows.
      masks: for each level, bits of what leads to an allowed row. Dense levels: for each code of
        each node, uint32 [P, S, V / 32], or more where whole lines are read; ragged ones: for each edge, uint32 [P, E / 32 + 1];
        others: None, their rows say it.
    """

    rows: UInt[Array, "P W"]
    masks: tuple[UInt[Array, "..."] | None, ...]


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Restriction:
    """Which rows of a trie each request may be answered: those that its filter allows, less some.

    Attributes:
      filters: the filters of the batch; None: every row is allowed.
      filter_of: int32 [B], the filter of each request; None where there are no filters.
      excluded: int32 [B, X], ascending: the rows that the filter allows and the request excludes,
        each once, then padding. None: no row is excluded.
      num_rows: int32 scalar: N, rows of the trie.
      capacity: rows that the trie has room for.
    """

    filters: AllowedRows | None
    filter_of: Int[Array, "B"] | None
    excluded: Int[Array, "B X"] | None
    num_rows: Int[Array, ""]
    capacity: int = static_field()

    def without(self, rows: Int[Array, "B X"]) -> "Restriction":
        """Return the restriction that also excludes some rows.

        Args:
          rows: int32, rows in any order, repeated or not; :data:`NO_ROW` is padding.
        """
        if self.filters is not None:
            allowed = self.window(jnp.where(rows == NO_ROW, 0, rows))
            rows = jnp.where(allowed & 1 == 1, rows, NO_ROW)  # not to be subtracted twice
        rows = jnp.sort(rows, axis=1)
        repeated = jnp.pad(rows[:, 1:] == rows[:, :-1], ((0, 0), (1, 0)))
        rows = jnp.sort(jnp.where(repeated, NO_ROW, rows), axis=1)
        return dataclasses.replace(self, excluded=rows)

    def filter_before(self, rows: Int[Array, "B *shape"]) -> Int[Array, "B *shape"]:
        """Return the number of rows before each row that the filter allows; rows in [0, N]."""
        if self.filters is None or self.filter_of is None:
            return rows
        item_filter = self.filter_of.reshape(-1, *[1] * (rows.ndim - 1))
        return rank(self.filters.rows, rows, item_filter)

    def excluded_before(self, rows: Int[Array, "B *shape"]) -> Int[Array, "B *shape"]:
        """Return the number of excluded rows before each row."""
        if self.excluded is None:
            return jnp.zeros_like(rows)
        flat = rows.reshape(rows.shape[0], -1)
        return count_before(self.excluded, flat).reshape(rows.shape)

    def allowed_before(self, rows: Int[Array, "B *shape"]) -> Int[Array, "B *shape"]:
        """Return the number of allowed rows before each row, int32; rows are in [0, N]."""
        allowed = self.filter_before(rows)
        return allowed if self.excluded is None else allowed - self.excluded_before(rows)

    def window(self, lo: Int[Array, "B M"]) -> UInt[Array, "B M"]:
        """Return a word for each beam: which of the 32 rows from ``lo`` on are allowed, uint32."""
        allowed = jnp.full(lo.shape, 0xFFFFFFFF, jnp.uint32)
        if self.filters is not None and self.filter_of is not None:
            allowed = window(self.filters.rows, lo, self.filter_of[:, None])
        if self.excluded is not None:
            # Each excluded row is there once: their bits add up.
            offset = self.excluded[:, None] - lo[..., None]
            inside = (offset >= 0) & (offset < 32)
            bits = jnp.uint32(1) << jnp.where(inside, offset, 0).astype(jnp.uint32)
            allowed &= ~jnp.where(inside, bits, 0).sum(axis=-1, dtype=jnp.uint32)
        return allowed

    def mask(self, level: int) -> UInt[Array, "..."] | None:
        """Return the bits of a level for all filters; None: there are no filters, or no bits."""
        return None if self.filters is None else self.filters.masks[level]

    def holds_any(
        self, lo: Int[Array, "B *shape"], hi: Int[Array, "B *shape"]
    ) -> Bool[Array, "B *shape"]:
        """Say whether a row of [lo, hi) is allowed."""
        before, until = self.allowed_before(lo), self.allowed_before(hi)
        return until > before

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


def rows_in_window(nodes: NodeRange) -> UInt[Array, "B M"]:
    """Return the bits of a window that are rows of the node, uint32."""
    return low_bits(nodes.hi - nodes.lo)
