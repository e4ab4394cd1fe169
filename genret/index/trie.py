"""Trie: the valid semantic IDs of a set of items as arrays on the device, and the lookups in it."""

import dataclasses
import functools
import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from genret.index.accelerated import AcceleratedLayout
from genret.index.bits import pack_bits
from genret.index.layout import Layout
from genret.index.levels import EdgesOnHost, Level
from genret.index.lines import LANES
from genret.index.restriction import NO_ROW, AllowedRows, Restriction
from genret.pytree import register_pytree, static_field
from genret.typing import Array, Bool, Int


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Trie:
    """The valid semantic IDs of some items: a trie over the items sorted by semantic ID.

    The items in that order (items that share an ID: by position) are the *rows*; the items below a
    node are a range of rows.

    Attributes:
      levels: the edges of each level, [L].
      positions: int32 [N]: row -> item position; None: they are equal.
      num_rows: int32 scalar: N.
      layout: the static facts.
      accelerated: what an accelerator reads in the place of some of it; None: nothing, a CPU.
      first_position: int32 scalar: item position of the first row, where positions follow the rows;
        None: 0.
    """

    levels: tuple[Level, ...]
    positions: Int[Array, "N"] | None
    num_rows: Int[Array, ""]
    layout: Layout = static_field()
    accelerated: AcceleratedLayout | None = None
    first_position: Int[Array, ""] | None = None

    def position_of(self, rows: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Return the item positions of rows, int32."""
        if self.positions is None:
            return rows if self.first_position is None else rows + self.first_position
        return self.positions.at[rows].get(mode="clip")

    def row_of_item(self, first_position: Int[Array, ""] | int = 0) -> Int[Array, "N"] | None:
        """Return the row of each item, by position less that of the first; None: they are equal."""
        if self.positions is None:
            return None
        rows = jnp.arange(self.layout.rows, dtype=jnp.int32)
        local = self.positions - first_position
        where = jnp.where(rows < self.num_rows, local, self.layout.rows)
        return jnp.zeros_like(self.positions).at[where].set(rows, mode="drop")

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
        return self.levels[level - 1].rows_of_any(nodes, self.num_rows, self.layout.rows)

    def codes_of_rows(self, level: int, rows: Int[Array, "*shape"]) -> Int[Array, "*shape T"]:
        """Return the codes of rows, from a level to the last, int32."""
        codes = [stored.codes_at(stored.edge_of_row(rows)) for stored in self.levels[level:]]
        return jnp.stack(codes, axis=-1)

    def restricted(
        self,
        filters: AllowedRows | None,
        filter_of: Int[Array, "B"] | None,
        exclude: Int[Array, "B X"] | None,
        row_of_item: Int[Array, "N"] | None,
    ) -> Restriction | None:
        """Return what the requests of a batch may not be answered; None: they may all items.

        Args:
          filters: the filters; None allows every item.
          filter_of: the filter of each request.
          exclude: item positions, less that of the trie's first item, in any order, repeated or
            not; those outside are padding.
          row_of_item: from :meth:`row_of_item`.
        """
        if filters is None and exclude is None:
            return None
        without = Restriction(
            filters=filters,
            filter_of=filter_of,
            excluded=None,
            num_rows=self.num_rows,
            capacity=self.layout.rows,
        )
        if exclude is None:
            return without
        rows = exclude if row_of_item is None else row_of_item.at[exclude].get(mode="clip")
        inside = (exclude >= 0) & (exclude < self.num_rows)
        return without.without(jnp.where(inside, rows, NO_ROW))

    # On the host

    def rows_below(self, prefix: Sequence[int]) -> tuple[int, int]:
        """Return the rows of the items whose codes begin with a prefix: ``[lo, hi)``."""
        lo, hi = 0, int(self.num_rows)
        for level, code in zip(self.levels, prefix, strict=False):
            if lo == hi:
                break
            edges = level.edge_of_row(jnp.array([lo, hi - 1], jnp.int32))
            first, last = edges.tolist()
            codes = np.asarray(level.codes[first : last + 1])
            place = int(np.searchsorted(codes, code))
            if place == codes.size or codes[place] != code:
                return lo, lo
            edge, parent = jnp.array([first + place], jnp.int32), jnp.array([[lo], [hi]], jnp.int32)
            begin, end = level.rows_of(edge, *parent)
            lo, hi = int(begin[0]), int(end[0])
        return lo, hi

    def codes_after(self, prefix: Sequence[int]) -> list[int]:
        """Return the codes that may follow a prefix, ascending."""
        lo, hi = self.rows_below(prefix)
        if lo == hi:
            return []
        level = self.levels[len(prefix)]
        first, last = level.edge_of_row(jnp.array([lo, hi - 1], jnp.int32)).tolist()
        return np.asarray(level.codes[first : last + 1]).astype(int).tolist()

    @functools.cached_property
    def positions_by_row(self) -> Int[np.ndarray, "N"]:
        """Item position of each row, int32."""
        count = int(self.num_rows)
        if self.positions is None:
            first = 0 if self.first_position is None else int(self.first_position)
            return np.arange(first, first + count, dtype=np.int32)
        return np.asarray(self.positions)[:count]

    @functools.cached_property
    def num_nodes(self) -> tuple[int, ...]:
        """Nodes of each level, [L + 1]: the root first, the leaves last."""
        last = self.num_rows - 1
        return (1, *(int(level.edge_of_row(last)) + 1 for level in self.levels))

    @functools.cached_property
    def checksum(self) -> int:
        """CRC-32 of the items; -1, unknown, of a trie that is being traced."""
        if isinstance(self.num_rows, jax.core.Tracer):
            return -1
        arrays = [*(level.codes for level in self.levels), self.num_rows]
        if self.positions is not None:
            arrays.append(self.positions)
        checksum = 0
        for array in arrays:
            checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
        return checksum

    def codes_by_row(self) -> Int[np.ndarray, "N L"]:
        """Return the semantic ID of each row, int64."""
        count = int(self.num_rows)
        columns = [level.column(count) for level in self.levels]
        return np.stack(columns, axis=1).astype(np.int64)

    def allow(self, mask: Bool[np.ndarray, "N"]) -> AllowedRows:
        """Put a set of allowed rows on the device, as a stack of one set.

        Args:
          mask: bool [N], by row.
        """
        masks: list[Array | None] = []
        for level, edges in zip(self.levels, self.edges_on_host, strict=True):
            if edges is None:
                masks.append(None)
                continue
            leads = np.logical_or.reduceat(mask, edges.first_rows) if mask.size else mask
            bits = level.allowed_bits(edges, leads)
            if self._on_tpu and bits.ndim == 2 and LANES // 2 <= bits.shape[1] < LANES:
                # XLA would turn around what does not fill a line, in every search.
                bits = np.pad(bits, ((0, 0), (0, LANES - bits.shape[1])))
            masks.append(jax.device_put(bits[None]))
        rows = jax.device_put(pack_bits(mask, self.layout.rows)[None])
        return AllowedRows(rows=rows, masks=tuple(masks))

    @property
    def _on_tpu(self) -> bool:
        return self.accelerated is not None and self.accelerated.platform == "tpu"

    @functools.cached_property
    def edges_on_host(self) -> tuple[EdgesOnHost | None, ...]:
        """Edges of each level for which a filter has bits; None for the others."""
        num_rows = int(self.num_rows)

        def above(number: int) -> Bool[np.ndarray, "N"]:
            if number == 0:
                return np.arange(num_rows) == 0
            return self.levels[number - 1].starts_on_host(num_rows)

        return tuple(
            level.edges_on_host(num_rows, functools.partial(above, number))
            for number, level in enumerate(self.levels)
        )
