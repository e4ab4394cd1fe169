"""LiveIndex: a catalog that changes. Removed items are cleared bits, inserted ones a second trie."""

import copy
import dataclasses
import functools
from collections import ChainMap
from collections.abc import Sequence

import jax
import numpy as np

from genret import item_ids as ids
from genret.errors import GenretError
from genret.index.build import DEFAULT_RULES, any_layout, build_trie
from genret.index.filter import FilteredIndex, FilterStack
from genret.index.layout import LayoutRules, power_of_two
from genret.index.parts import Parts
from genret.index.restriction import AllowedRows
from genret.index.trie import Trie
from genret.index.trie_index import TrieIndex
from genret.pytree import host_field, register_pytree
from genret.semantic_ids import SemanticIds
from genret.typing import Array, Bool, Int, Integer, PathLike

LEAST_CAPACITY = 1024
"""Room for inserted items, at least, once there is any."""


RowsOfTrie = Int[Array, "N"] | Parts[Array] | None
"""What a trie's ``row_of_item`` returns, whole or in parts."""

RowOfItem = RowsOfTrie | tuple[RowsOfTrie, Int[Array, "N2"] | None]
"""What an index's ``row_of_item`` is, in either kind of index."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Changes:
    """What happened to an index since its trie was built, on the host.

    Attributes:
      removed: bool [N], by item position.
      inserted: integers [n, L], the codes of the items after the first N - n.
      item_ids: int64 [N] or strings [N], by position; None: ids are positions.
      rules: what the trie of inserted items is laid out by.
    """

    removed: Bool[np.ndarray, "N"]
    inserted: Integer[np.ndarray, "n L"]
    item_ids: np.ndarray | None
    rules: LayoutRules

    @property
    def num_items(self) -> int:
        """Item positions."""
        return self.removed.size

    @property
    def num_inserted(self) -> int:
        """Inserted items."""
        return len(self.inserted)

    @property
    def any(self) -> bool:
        """Whether there are changes."""
        return self.num_inserted > 0 or bool(self.removed.any())


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True, init=False)
class LiveIndex(FilteredIndex):
    """An index whose items come and go: a :class:`TrieIndex`, and what changed since it was built.

    ``LiveIndex(index, insert_capacity=1000)`` makes one. A search takes it in the place of the
    index. Removed items are cleared bits; inserted ones go to a small second trie that is searched
    in the same beam, until :meth:`compact` builds one trie of all. The index is a value: what
    changes it returns another one.

    The positions of inserted items follow the last one; those of the others stay.

    Attributes:
      base: the index that was built.
      inserted: the trie of inserted items; None: there is no room for any yet.
      allowed: the items that are not removed.
      changes: what happened, on the host.
      version: differs between indices, on the host.

    >>> index = LiveIndex(TrieIndex.from_codes([[3, 1], [0, 2]], ["a", "b"]))
    >>> index = index.insert([[3, 0]], ["c"]).remove(["a"])
    >>> index.ids_of(index.items_below(())).tolist()
    ['b', 'c']
    """

    base: TrieIndex
    inserted: Trie | None
    allowed: FilterStack
    changes: Changes | None = host_field()
    version: object = host_field()

    def __init__(
        self,
        index: TrieIndex,
        *,
        insert_capacity: int = 0,
        rules: LayoutRules = DEFAULT_RULES,
    ) -> None:
        """Begin to change an index.

        Args:
          index: the index.
          insert_capacity: items that can be inserted before anything is compiled again.
          rules: what the trie of inserted items is laid out by.

        Raises:
          GenretError: no number of items.
        """
        if not isinstance(insert_capacity, int) or not 0 <= insert_capacity <= 2**30:
            raise GenretError(
                f"insert_capacity: found {insert_capacity!r}, expected 0 to 2**30 items"
            )
        changes = Changes(
            removed=np.zeros(index.num_items, bool),
            inserted=np.zeros((0, index.depth), np.int32),
            item_ids=index.item_ids,
            rules=rules,
        )
        inserted = None
        if insert_capacity:
            inserted = _trie_of(index, changes, power_of_two(max(insert_capacity, LEAST_CAPACITY)))
        self._become(index, inserted, changes)

    def _become(
        self,
        base: TrieIndex,
        inserted: Trie | None,
        changes: Changes,
        base_rows: AllowedRows | Parts[AllowedRows] | None = None,
    ) -> None:
        """Fill an object of this class; ``base_rows``: the base's allowed rows, if they are known."""
        values = self.__dict__  # frozen: attributes cannot be set
        values.update(base=base, inserted=inserted, changes=changes, version=object())
        rows = self.allowed_rows(~changes.removed, base_rows)
        values["allowed"] = FilterStack(
            rows=rows[0], inserted=rows[1], size=1, version=self.version
        )

    # The items that were there, and those that are

    @property
    def codes_per_level(self) -> tuple[int, ...]:
        """Codes of each level."""
        return self.base.codes_per_level

    @property
    def end_code(self) -> int | None:
        """The code that ends a semantic ID before the last level; None: there is none."""
        return self.base.end_code

    @property
    def depth(self) -> int:
        """Codes of an item, L."""
        return self.base.depth

    @property
    def stored_as(self) -> tuple[str, ...]:
        """How each level of the index that was built is stored, [L]."""
        return self.base.stored_as

    @property
    def catalog_checksum(self) -> int:
        """Checksum of the items that the index was built from: filters outlive changes."""
        return self.base.catalog_checksum

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays on the device."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self))

    @property
    def num_items(self) -> int:
        """Item positions, N: the items, removed ones included until :meth:`compact`."""
        return self._known.num_items

    @property
    def item_ids(self) -> np.ndarray | None:
        """Ids of the items, by position; None: ids are positions."""
        return self._known.item_ids

    @property
    def insert_capacity(self) -> int:
        """Items that there is room for in the trie of inserted items."""
        return 0 if self.inserted is None else self.inserted.layout.rows

    @functools.cached_property
    def row_of_item(
        self,
    ) -> tuple[RowsOfTrie, Int[Array, "N2"] | None]:
        """Row of each item of the base, and of each inserted one by position among them."""
        with jax.ensure_compile_time_eval():
            second = self.inserted
            rows = None if second is None else second.row_of_item(self.base.trie.num_rows)
            return self.base.row_of_item, rows

    def with_rows(self) -> "LiveIndex":
        """Return the same index, which has rows with it; see :meth:`TrieIndex.with_rows`."""
        index = copy.copy(self)
        index.__dict__["base"] = self.base.with_rows()  # frozen: attributes cannot be set
        return index

    def whole_trie(self, caller: str) -> Trie:
        """Return the trie that was built, see :meth:`TrieIndex.whole_trie`."""
        return self.base.whole_trie(caller)

    def codes_after(self, prefix: Sequence[int]) -> list[int]:
        """Return the codes that may follow a prefix, ascending; removed items included."""
        found = set(self.base.codes_after(prefix))
        if self.inserted is not None:
            found.update(self.inserted.codes_after(prefix))
        return sorted(found)

    def items_below(self, prefix: Sequence[int]) -> Int[np.ndarray, "N"]:
        """Return the positions of the items below a prefix that are not removed."""
        found = self.base.items_below(prefix)
        if self.inserted is not None:
            lo, hi = self.inserted.rows_below(prefix)
            found = np.concatenate([found, self.inserted.positions_by_row[lo:hi]])
        return found[~self._known.removed[found]]

    def ids_of(self, items: object) -> np.ndarray:
        """Return the ids of items by position; see :meth:`TrieIndex.ids_of`."""
        return ids.ids_at(self.item_ids, items)

    def positions_of(self, item_ids: object) -> Int[np.ndarray, "E"]:
        """Return the positions of items by id, int32.

        Raises:
          GenretError: an id that the index does not hold, or whose item is removed.
        """
        if self.item_ids is None:
            found = ids.check_positions(item_ids, self.num_items)
        else:
            found = ids.positions(self._position_of_id, item_ids)
        gone = self._known.removed[found]
        if gone.any():
            removed = self.ids_of(found[gone]).tolist()[0]
            raise GenretError(f"item_ids: the item with the id {removed!r} was removed")
        return found

    @functools.cached_property
    def _position_of_id(self) -> ChainMap[int | str, int]:
        """Position of each id; the larger part is made once for all changes."""
        assert self.item_ids is not None
        first = self.base.num_items
        new = self.item_ids[first:].tolist()
        later = dict(zip(new, range(first, first + len(new)), strict=True))
        return ChainMap(later, self.base.position_of_id)

    def codes_of(self, items: object) -> Int[np.ndarray, "*shape L"]:
        """Return the semantic IDs of items by position, on the host: int64 [N, L]."""
        positions = np.asarray(items)
        old = positions < self.base.num_items
        codes = np.empty((*positions.shape, self.depth), np.int64)
        codes[old] = self.base.codes_of(positions[old])
        codes[~old] = self._known.inserted[positions[~old] - self.base.num_items]
        return codes

    def allowed_rows(
        self,
        mask: Bool[np.ndarray, "N"],
        base_rows: AllowedRows | Parts[AllowedRows] | None = None,
    ) -> tuple[AllowedRows | Parts[AllowedRows], AllowedRows | None]:
        """Put a set of allowed items on the device, less the removed ones.

        Args:
          mask: bool [N], by item position.
          base_rows: what of the base is allowed, if it is known already.

        Returns:
          The set in the trie that was built, and in that of the inserted items.
        """
        allowed = mask & ~self._known.removed
        if base_rows is None:
            base_rows, _ = self.base.allowed_rows(allowed[: self.base.num_items])
        if self.inserted is None:
            return base_rows, None
        return base_rows, self.inserted.allow(allowed[self.inserted.positions_by_row])

    # Changes

    def remove(self, item_ids: object) -> "LiveIndex":
        """Return the index without some items, in time that does not depend on the trie's depth.

        Args:
          item_ids: ids of items.

        Returns:
          The index. The positions of the other items are as before.

        Raises:
          GenretError: an id that the index does not hold.
        """
        removed = self._known.removed.copy()
        removed[self.positions_of(item_ids)] = True
        changes = dataclasses.replace(self._known, removed=removed)
        return self._changed(self.inserted, changes, None)

    def insert(self, codes: object, item_ids: object = None) -> "LiveIndex":
        """Return the index with more items, without building the trie again.

        Args:
          codes: integers [n, L].
          item_ids: n ids that the index does not hold; None only where ids are positions.

        Returns:
          The index. The new items have the positions that follow the last one.

        Raises:
          GenretError: codes that do not fit the index, or an id that it holds already.
        """
        before = self._known
        new = SemanticIds.from_codes(
            codes, codes_per_level=self.codes_per_level, end_code=self.end_code
        ).codes
        every = self._joined_ids(item_ids, len(new))
        if before.num_items + len(new) > np.iinfo(np.int32).max:
            raise GenretError(
                f"insert: found {before.num_items + len(new)} items, expected < 2**31"
            )
        changes = dataclasses.replace(
            before,
            removed=np.pad(before.removed, (0, len(new))),
            inserted=np.concatenate([before.inserted, new]) if before.num_inserted else new,
            item_ids=every,
        )
        capacity = self.insert_capacity
        if changes.num_inserted > capacity:
            capacity = power_of_two(max(2 * changes.num_inserted, LEAST_CAPACITY))
        inserted = _trie_of(self.base, changes, capacity)
        return self._changed(inserted, changes, self.allowed.rows)

    def compact(self) -> "LiveIndex":
        """Return the index of the same items in one trie again.

        Positions are counted anew, in their order; ids stay. Filters have to be made anew. Where
        the items fit, compiled programs are kept.

        Raises:
          GenretError: all items are removed.
        """
        keep = np.flatnonzero(~self._known.removed)
        if keep.size == 0:
            raise GenretError("compact: all items are removed, expected at least one")
        kept = self.item_ids
        if kept is not None:
            kept = kept[keep]
        elif self._known.any:
            kept = keep.astype(np.int64)
        base = TrieIndex.from_codes(
            self.codes_of(keep),
            kept,
            codes_per_level=self.codes_per_level,
            end_code=self.end_code,
            like=self.base,
            rules=self._known.rules,
        )
        return LiveIndex(base, insert_capacity=self.insert_capacity, rules=self._known.rules)

    def _changed(
        self,
        inserted: Trie | None,
        changes: Changes,
        base_rows: AllowedRows | Parts[AllowedRows] | None,
    ) -> "LiveIndex":
        index: LiveIndex = object.__new__(LiveIndex)
        index._become(self.base, inserted, changes, base_rows)
        return index

    def _joined_ids(self, item_ids: object, count: int) -> np.ndarray | None:
        """Return the ids of all items after ``count`` more are inserted."""
        if self.item_ids is None:
            if item_ids is not None:
                raise GenretError("item_ids: found ids, but ids are positions in this index")
            return None
        new = ids.check_ids(item_ids, count)
        if new is None or new.dtype != self.item_ids.dtype:
            kind = "integers" if self.item_ids.dtype == np.int64 else "strings"
            raise GenretError(f"item_ids: expected {count} {kind}, as the index has")
        held, wanted = self._position_of_id, dict.fromkeys(new.tolist())
        for item_id in (x for part in held.maps for x in wanted.keys() & part.keys()):
            if not self._known.removed[held[item_id]]:
                raise GenretError(f"item_ids: {item_id!r} is in the index already")
        return np.concatenate([self.item_ids, new])

    @property
    def _known(self) -> Changes:
        if self.changes is None:
            raise GenretError("index: has been through a JAX transformation, which drops its items")
        return self.changes

    # Disk

    def save(self, path: PathLike) -> None:
        """Write the index as an artifact that :meth:`TrieIndex.load` reads.

        Raises:
          GenretError: there are changes, or as :meth:`TrieIndex.save`.
        """
        self._refuse_changes()
        self.base.save(path)

    def write(self, folder: PathLike) -> None:
        """Write the index's files into a folder that a caller turns into an artifact."""
        self._refuse_changes()
        self.base.write(folder)

    def _refuse_changes(self) -> None:
        if self._known.any:
            raise GenretError("index: items were inserted or removed: compact() before saving")


def _trie_of(base: TrieIndex, changes: Changes, capacity: int) -> Trie:
    """Build the trie of the inserted items."""
    return build_trie(
        changes.inserted,
        base.codes_per_level,
        like=any_layout(capacity, base.depth, changes.rules),
        first_position=base.num_items,
    )
