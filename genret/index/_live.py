"""A catalog that changes: removed items are cleared bits, inserted ones a small second trie."""

import dataclasses
from collections import ChainMap
from typing import TYPE_CHECKING, Any

import numpy as np

from genret import item_ids as ids_of_items
from genret.errors import GenretError
from genret.index._builder import build_segment
from genret.index._filter import FilterStack
from genret.index._layout import any_layout, power_of_two
from genret.index.allowed import AllowedRows, allow, edges_of
from genret.index.segment import Segment
from genret.semantic_ids import SemanticIds

if TYPE_CHECKING:
    from genret.index._index import TrieIndex

LEAST_CAPACITY = 1024
"""Room for inserted items, at least, once there is any."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Changes:
    """What happened to an index since its trie was built, on the host.

    Attributes:
      removed: bool [N], by item position.
      inserted: integers [n, L], the codes of the items after the first N - n.
      known_ids: id -> position of the items before those inserted, made when first needed.
    """

    removed: np.ndarray
    inserted: np.ndarray | None = None
    known_ids: dict[Any, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def none(cls, num_items: int) -> "Changes":
        """Return the changes of an index that was just built."""
        return cls(removed=np.zeros(num_items, bool))

    @property
    def num_items(self) -> int:
        """Item positions."""
        return self.removed.size

    @property
    def num_inserted(self) -> int:
        """Inserted items."""
        return 0 if self.inserted is None else len(self.inserted)

    @property
    def any(self) -> bool:
        """Whether there are changes."""
        return self.num_inserted > 0 or bool(self.removed.any())


def with_room(index: "TrieIndex", capacity: int) -> "TrieIndex":
    """Return an index with a segment for inserted items."""
    capacity = power_of_two(max(capacity, LEAST_CAPACITY))
    return _changed(index, _delta(index, index.changes, capacity), index.changes, index.item_ids)


def remove(index: "TrieIndex", positions: np.ndarray) -> "TrieIndex":
    """See :meth:`TrieIndex.remove`."""
    removed = index.changes.removed.copy()
    removed[positions] = True
    changes = dataclasses.replace(index.changes, removed=removed)
    return _changed(index, index.segments[1:], changes, index.item_ids, base_changed=True)


def insert(index: "TrieIndex", codes: Any, item_ids: Any) -> "TrieIndex":
    """See :meth:`TrieIndex.insert`."""
    before = index.changes
    new = SemanticIds.from_codes(
        codes, codes_per_level=index.codes_per_level, end_code=index.end_code
    ).codes
    ids = _joined_ids(index, item_ids, len(new))
    inserted = new if before.inserted is None else np.concatenate([before.inserted, new])
    if before.num_items + len(new) > np.iinfo(np.int32).max:
        raise GenretError(f"insert: found {before.num_items + len(new)} items, expected < 2**31")
    changes = dataclasses.replace(
        before, removed=np.pad(before.removed, (0, len(new))), inserted=inserted
    )
    capacity = index.insert_capacity
    if len(inserted) > capacity:
        capacity = power_of_two(max(2 * len(inserted), LEAST_CAPACITY))
    return _changed(index, _delta(index, changes, capacity), changes, ids)


def compact(index: "TrieIndex") -> "TrieIndex":
    """See :meth:`TrieIndex.compact`."""
    keep = np.flatnonzero(~index.changes.removed)
    if keep.size == 0:
        raise GenretError("compact: all items are removed, expected at least one")
    ids = index.item_ids
    if ids is not None:
        ids = ids[keep]
    elif index.changes.any:
        ids = keep.astype(np.int64)
    # TrieIndex is imported by name nowhere here: the two files would import each other.
    return type(index).from_codes(
        index.codes_of(keep),
        ids,
        codes_per_level=index.codes_per_level,
        end_code=index.end_code,
        like=index,
    )


def position_of_id(item_ids: np.ndarray, changes: Changes) -> ChainMap[Any, int]:
    """Return id -> position; the part that all indices of one catalog share is made once."""
    first = changes.num_items - changes.num_inserted
    if not changes.known_ids:
        changes.known_ids.update(zip(item_ids[:first].tolist(), range(first), strict=True))
    new = zip(item_ids[first:].tolist(), range(first, item_ids.size), strict=True)
    return ChainMap(dict(new), changes.known_ids)


def _changed(
    index: "TrieIndex",
    delta: tuple[Segment, ...],
    changes: Changes,
    item_ids: np.ndarray | None,
    base_changed: bool = False,
) -> "TrieIndex":
    base = index.segments[0]
    first = changes.num_items - changes.num_inserted
    if index.allowed is None or base_changed:
        by_row = ~changes.removed[:first][index._positions_by_row[0]]
        base_rows = allow(base, index._edges[0], by_row)
    else:
        base_rows = index.allowed.segments[0]
    rows: list[AllowedRows] = [base_rows]
    # What was read from the base for this index serves the next one too.
    edges, positions = list(index._edges[:1]), list(index._positions_by_row[:1])
    for segment in delta:
        edges.append(edges_of(segment))
        positions.append(np.asarray(segment.positions)[: changes.num_inserted])
        rows.append(allow(segment, edges[-1], ~changes.removed[positions[-1]]))
    version = object()
    changed = dataclasses.replace(
        index,
        segments=(base, *delta),
        allowed=FilterStack(segments=tuple(rows), size=1, version=version),
        item_ids=item_ids,
        changes=changes,
        version=version,
    )
    changed.__dict__.update(_edges=tuple(edges), _positions_by_row=tuple(positions))
    if "catalog_checksum" in index.__dict__:
        changed.__dict__["catalog_checksum"] = index.catalog_checksum
    return changed


def _delta(index: "TrieIndex", changes: Changes, capacity: int) -> tuple[Segment, ...]:
    codes = changes.inserted
    if codes is None:
        codes = np.zeros((0, index.depth), np.int32)
    segment = build_segment(
        codes,
        index.codes_per_level,
        like=any_layout(capacity, index.depth),
        first_position=changes.num_items - changes.num_inserted,
    )
    return (segment,)


def _joined_ids(index: "TrieIndex", item_ids: Any, count: int) -> np.ndarray | None:
    if index.item_ids is None:
        if item_ids is not None:
            raise GenretError("item_ids: found ids, but ids are positions in this index")
        return None
    new = ids_of_items.check_ids(item_ids, count)
    if new is None or new.dtype != index.item_ids.dtype:
        kind = "integers" if index.item_ids.dtype == np.int64 else "strings"
        raise GenretError(f"item_ids: expected {count} {kind}, as the index has")
    held, wanted = index._position_of_id, dict.fromkeys(new.tolist())
    for item_id in (x for part in held.maps for x in wanted.keys() & part.keys()):
        if not index.changes.removed[held[item_id]]:
            raise GenretError(f"item_ids: {item_id!r} is in the index already")
    return np.concatenate([index.item_ids, new])
