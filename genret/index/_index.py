"""TrieIndex: the constraint index of a catalog, a pytree that a beam search walks."""

import dataclasses
import functools
import zlib
from collections import ChainMap
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret import item_ids as ids
from genret.errors import GenretError
from genret.index import _io, _live
from genret.index._builder import build_segment
from genret.index._filter import FilterStack, ItemFilter
from genret.index.allowed import AllowedRows, Edges, allow, column_of, edges_of
from genret.index.segment import Segment
from genret.semantic_ids import SemanticIds
from genret.typing import Array, Int, PathLike


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("segments", "allowed"),
    meta_fields=("codes_per_level", "end_code"),
    drop_fields=("item_ids", "changes", "version"),
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrieIndex:
    """The valid semantic IDs of a catalog, as a trie that a beam search walks on the device.

    The unique semantic IDs are sorted and the nodes of each level are numbered in that order
    (level 0 has the root alone). Then the edges of level ``l``, in order, *are* the nodes of level
    ``l + 1``: a level stores the codes of its edges and, one bit a row, where edges start; it
    stores neither child ids nor row pointers. Items sorted by semantic ID (then by position) are
    the *rows*; the items below a node are a range of rows.

    An item's *position* is its row in the ``codes`` that the index was built from; inserted items
    follow. The index is a value: what changes it returns another one.

    The index is a pytree: its arrays are leaves, the rest is static. What is on the host stays
    there: an index that has been through a JAX transformation has no item ids.

    Attributes:
      segments: the trie, and a second small one of inserted items where there is room for such.
      allowed: the items that are not removed; None where none can be.
      codes_per_level: codes of each level.
      end_code: the code that ends a semantic ID before the last level; None: there is none.
      item_ids: int64 [N] or strings [N] on the host, by position; None: ids are positions.
      changes: removed and inserted items, on the host.
      version: differs between indices, on the host.

    >>> index = TrieIndex.from_codes([[3, 1], [0, 2], [3, 0], [0, 2]], ["a", "b", "c", "d"])
    >>> index.num_items, index.depth, index.num_nodes
    (4, 2, (1, 2, 3))
    >>> index.codes_after(()), index.ids_of(index.items_below((0,))).tolist()
    ([0, 3], ['b', 'd'])
    """

    segments: tuple[Segment, ...]
    allowed: FilterStack | None
    codes_per_level: tuple[int, ...]
    end_code: int | None = None
    item_ids: Any = None
    changes: Any = None
    version: Any = None

    @classmethod
    def from_codes(
        cls,
        codes: Any,
        item_ids: Any = None,
        *,
        codes_per_level: Any = None,
        end_code: int | None = None,
        like: "TrieIndex | None" = None,
        reserve: float = 0.0,
        insert_capacity: int = 0,
    ) -> "TrieIndex":
        """Build the index of a catalog.

        Args:
          codes: integers [N, L], one row an item, in any order; items may share a row. Or a
            :class:`SemanticIds`, which has the next three arguments already.
          item_ids: N distinct integers or strings; None takes the positions 0 to N - 1.
          codes_per_level: L counts of codes; None takes the largest code of each level + 1.
          end_code: the code that ends a semantic ID of fewer than L codes. What stands behind it
            is padding; the search asks the model for the end code, and then for nothing more.
          like: an index that this one replaces. Where the catalog fits the room of that one, the
            new index runs in the same compiled programs.
          reserve: room to leave for later catalogs, as a share of this one.
          insert_capacity: items that can be inserted before anything is compiled again.

        Returns:
          The index, its arrays on the default device.

        Raises:
          GenretError: codes that are empty, ragged, no integers, negative or out of range; ids of
            another number, of mixed types, or that occur twice; ``like`` an index of other levels.

        >>> TrieIndex.from_codes([[0.5, 1.0]])
        Traceback (most recent call last):
        ...
        genret.errors.GenretError: codes: found dtype float64, expected integers
        """
        if like is not None and codes_per_level is None:
            codes_per_level = like.codes_per_level
        items = SemanticIds.from_codes(
            codes, item_ids, codes_per_level=codes_per_level, end_code=end_code
        )
        counts, end_code = items.codes_per_level, items.end_code
        _check_room(reserve, insert_capacity)
        if like is not None and (like.codes_per_level, like.end_code) != (counts, end_code):
            raise GenretError(
                f"like: found an index of {like.codes_per_level} codes (end code {like.end_code}), "
                f"expected {counts} (end code {end_code})"
            )
        base = build_segment(
            items.codes,
            counts,
            like=None if like is None else like.segments[0].layout,
            reserve=reserve,
        )
        index = cls.of_segment(base, counts, end_code, items.item_ids)
        if like is not None and like.allowed is not None:
            insert_capacity = max(insert_capacity, like.insert_capacity)
        return _live.with_room(index, insert_capacity) if insert_capacity else index

    @classmethod
    def from_batches(
        cls,
        batches: Iterable[Any],
        item_ids: Any = None,
        *,
        codes_per_level: Any = None,
        end_code: int | None = None,
        **options: Any,
    ) -> "TrieIndex":
        """Build the index of a catalog whose codes come in batches.

        Each batch is stored in the smallest type that holds its codes before the next is asked for.

        Args:
          batches: arrays of integers [n, L], one after the other.
          item_ids: as in :meth:`from_codes`.
          codes_per_level: as in :meth:`from_codes`.
          end_code: as in :meth:`from_codes`.
          options: the other arguments of :meth:`from_codes`.

        Returns:
          The index.

        Raises:
          GenretError: as :meth:`from_codes`; batches of different L.
        """
        items = SemanticIds.from_batches(
            batches, item_ids, codes_per_level=codes_per_level, end_code=end_code
        )
        return cls.from_codes(items, **options)

    @classmethod
    def of_segment(
        cls,
        segment: Segment,
        codes_per_level: tuple[int, ...],
        end_code: int | None,
        item_ids: np.ndarray | None,
    ) -> "TrieIndex":
        """Make an index of a trie that is known to be right."""
        return cls(
            segments=(segment,),
            allowed=None,
            codes_per_level=codes_per_level,
            end_code=end_code,
            item_ids=item_ids,
            changes=_live.Changes.none(int(segment.num_rows)),
            version=object(),
        )

    # Shape

    @property
    def num_items(self) -> int:
        """Item positions, N: the items, removed ones included until :meth:`compact`."""
        return self._host.num_items

    @property
    def depth(self) -> int:
        """Codes of an item, L."""
        return len(self.codes_per_level)

    @functools.cached_property
    def num_nodes(self) -> tuple[int, ...]:
        """Nodes of each level of the trie, [L + 1]: the root first, the leaves last."""
        base = self.segments[0]
        return (1, *(int(lv.edge_of_row(base.num_rows - 1)) + 1 for lv in base.levels))

    @property
    def stored_as(self) -> tuple[str, ...]:
        """How each level is stored and searched, [L]: "single", "dense", "window" or "ragged"."""
        return tuple(level.layout.kind for level in self.segments[0].levels)

    @property
    def nbytes(self) -> int:
        """Bytes of the index's arrays on the device."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self))

    @property
    def insert_capacity(self) -> int:
        """Items that the segment of inserted items has room for."""
        return self.segments[1].layout.rows if len(self.segments) > 1 else 0

    @property
    def row_of_item(self) -> tuple[Int[Array, "N"] | None, ...]:
        """For each segment, item position (less that of its first item) -> row; None: equal."""
        return self._rows_of_items

    @functools.cached_property
    def _rows_of_items(self) -> tuple[Any, ...]:
        # A value cached while tracing must not be a tracer of that trace, where it need not be.
        with jax.ensure_compile_time_eval():
            firsts = (0, self.segments[0].num_rows)
            return tuple(map(_row_of_item, self.segments, firsts))

    # Inspection, on the host

    def codes_after(self, prefix: Any) -> list[int]:
        """Return the codes that may follow a prefix, ascending; removed items included."""
        found: set[int] = set()
        for segment in self.segments:
            lo, hi = self._rows_below(segment, prefix)
            level = segment.levels[len(prefix)]
            if lo < hi:
                edges = level.edge_of_row(jnp.array([lo, hi - 1], jnp.int32)).tolist()
                found.update(np.asarray(level.codes[edges[0] : edges[1] + 1]).tolist())
        return sorted(found)

    def items_below(self, prefix: Any) -> Int[np.ndarray, "N"]:
        """Return the positions of the items below a prefix that are not removed, in row order."""
        found = [
            np.asarray(segment.position_of(jnp.arange(*self._rows_below(segment, prefix))))
            for segment in self.segments
        ]
        positions = np.concatenate(found)
        return positions[~self._host.removed[positions]]

    def _rows_below(self, segment: Segment, prefix: Any) -> tuple[int, int]:
        lo, hi = 0, int(segment.num_rows)
        for level, code in enumerate(prefix):
            if lo == hi:
                break
            edges = segment.levels[level].edge_of_row(jnp.array([lo, hi - 1], jnp.int32))
            first, last = edges.tolist()
            codes = np.asarray(segment.levels[level].codes[first : last + 1])
            place = int(np.searchsorted(codes, code))
            if place == codes.size or codes[place] != code:
                return lo, lo
            edge, parent = jnp.array([first + place], jnp.int32), jnp.array([[lo], [hi]], jnp.int32)
            begin, end = segment.levels[level].rows_of(edge, *parent)
            lo, hi = int(begin[0]), int(end[0])
        return lo, hi

    # Items, on the host

    def ids_of(self, items: Any) -> np.ndarray:
        """Return the ids of items.

        Args:
          items: item positions, any shape; -1 is padding.

        Returns:
          int64 (padding: -1) or objects (strings; padding: None), of the shape of ``items``.
        """
        return ids.ids_at(self.item_ids, items)

    def positions_of(self, item_ids: Any) -> Int[np.ndarray, "E"]:
        """Return the positions of items by id, int32.

        Raises:
          GenretError: an id that the index does not hold, or whose item is removed.
        """
        if self.item_ids is None:
            found = ids.check_positions(item_ids, self.num_items)
        else:
            found = ids.positions(self._position_of_id, item_ids)
        gone = self._host.removed[found]
        if gone.any():
            removed = self.ids_of(found[gone]).tolist()[0]
            raise GenretError(f"item_ids: the item with the id {removed!r} was removed")
        return found

    @functools.cached_property
    def _position_of_id(self) -> ChainMap[Any, int]:
        return _live.position_of_id(self.item_ids, self._host)

    def codes_of(self, items: Any) -> Int[np.ndarray, "N L"]:
        """Return the semantic IDs of items by position, on the host: int64 [N, L]."""
        return self._codes_by_position[np.asarray(items)]

    @functools.cached_property
    def _codes_by_position(self) -> Int[np.ndarray, "N L"]:
        codes = np.zeros((self.num_items, self.depth), np.int64)
        for segment in self.segments:
            count = int(segment.num_rows)
            where = np.asarray(segment.position_of(jnp.arange(count, dtype=jnp.int32)))
            for level in range(self.depth):
                codes[where, level] = column_of(segment.levels[level], count)
        return codes

    # Filters

    @functools.cached_property
    def catalog_checksum(self) -> int:
        """CRC-32 of the items that the index was built from: tells filters which they belong to.

        Removing and inserting items keeps it. It is -1, unknown, of an index that is an argument of
        a function being traced.
        """
        base = self.segments[0]
        if isinstance(base.num_rows, jax.core.Tracer):
            return -1
        arrays = [*(level.codes for level in base.levels), base.num_rows]
        if base.positions is not None:
            arrays.append(base.positions)
        checksum = 0
        for array in arrays:
            checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
        return checksum

    def allowed_rows(self, item_filter: ItemFilter) -> tuple[AllowedRows, ...]:
        """Return the rows of each segment that a filter allows and that are not removed."""
        mask = item_filter.mask(self.num_items) & ~self._host.removed
        return tuple(
            allow(segment, edges, mask[positions])
            for segment, edges, positions in zip(
                self.segments, self._edges, self._positions_by_row, strict=True
            )
        )

    @functools.cached_property
    def _edges(self) -> tuple[tuple[Edges | None, ...], ...]:
        return tuple(edges_of(segment) for segment in self.segments)

    @functools.cached_property
    def _positions_by_row(self) -> tuple[Any, ...]:
        return tuple(
            slice(0, int(segment.num_rows))
            if segment.positions is None
            else np.asarray(segment.positions)[: int(segment.num_rows)]
            for segment in self.segments
        )

    # Changes

    def remove(self, item_ids: Any) -> "TrieIndex":
        """Return the index without some items, in time that does not depend on the trie's depth.

        Args:
          item_ids: ids of items.

        Returns:
          The index. The positions of the other items are as before.

        Raises:
          GenretError: an id that the index does not hold.
        """
        return _live.remove(self, self.positions_of(item_ids))

    def insert(self, codes: Any, item_ids: Any = None) -> "TrieIndex":
        """Return the index with more items, without building the trie again.

        They go to a small second segment that is searched in the same beam, until :meth:`compact`.

        Args:
          codes: integers [n, L].
          item_ids: n ids that the index does not hold; None only where ids are positions.

        Returns:
          The index. The new items have the positions that follow the last one.

        Raises:
          GenretError: codes that do not fit the index, or an id that it holds already.

        >>> index = TrieIndex.from_codes([[3, 1], [0, 2]], ["a", "b"])
        >>> index = index.insert([[3, 0]], ["c"]).remove(["a"])
        >>> index.ids_of(index.items_below(())).tolist()
        ['b', 'c']
        """
        return _live.insert(self, codes, item_ids)

    def compact(self) -> "TrieIndex":
        """Return the index of the same items in one trie again.

        Positions are counted anew, in their order; ids stay. Filters have to be made anew. Where
        the items fit, compiled programs are kept.
        """
        return _live.compact(self)

    @property
    def _host(self) -> "_live.Changes":
        if self.changes is None:
            raise GenretError("index: has been through a JAX transformation, which drops its items")
        return self.changes

    # Disk

    def save(self, path: PathLike) -> None:
        """Write the index as an artifact: a folder with a manifest and checksums.

        Args:
          path: the folder; an index that is there is replaced when the new one is whole.

        Raises:
          GenretError: the folder is something else's, or cannot be written; the index has changes.
        """
        self._refuse_changes()
        _io.save_artifact(
            path, self.segments[0], self.codes_per_level, self.end_code, self.item_ids
        )

    def write(self, folder: PathLike) -> None:
        """Write the index's files into a folder that a caller turns into an artifact."""
        self._refuse_changes()
        _io.write_files(
            folder, self.segments[0], self.codes_per_level, self.end_code, self.item_ids
        )

    @classmethod
    def load(cls, path: PathLike) -> "TrieIndex":
        """Read an index; its checksums and its structure are verified.

        Args:
          path: the artifact's folder.

        Returns:
          The index, its arrays on the default device.

        Raises:
          GenretError: no index there, or a damaged one (the message names the file or the level).
        """
        return cls.of_segment(*_io.load_artifact(path))

    def _refuse_changes(self) -> None:
        if self._host.any:
            raise GenretError("index: items were inserted or removed: compact() before saving")


def _check_room(reserve: Any, insert_capacity: Any) -> None:
    """Check the room that an index is to leave."""
    if not isinstance(reserve, int | float) or not 0 <= reserve <= 16:
        raise GenretError(f"reserve: found {reserve!r}, expected a share of 0 to 16")
    if not isinstance(insert_capacity, int) or not 0 <= insert_capacity <= 2**30:
        raise GenretError(f"insert_capacity: found {insert_capacity!r}, expected 0 to 2**30 items")


def _row_of_item(segment: Segment, first_position: Any) -> Any:
    if segment.positions is None:
        return None
    rows = jnp.arange(segment.layout.rows, dtype=jnp.int32)
    local = segment.positions - first_position
    where = jnp.where(rows < segment.num_rows, local, segment.layout.rows)
    return jnp.zeros_like(segment.positions).at[where].set(rows, mode="drop")
