"""The items of a run as they are now: those that were trained, and what came and went since.

A run whose items changed has ``live/``, a folder of generations (see :mod:`genret.generations`):

items.parquet                     the catalog, items that came at the end; removed ones included
codes.npy, semantic_ids.json      their semantic IDs
removed.npy                       bool [N], by row

``catalog/``, ``codes/`` and ``index/`` stay what the model was trained with.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from genret.artifacts import Run, read_manifest, verify_files, write_folder
from genret.config import require
from genret.data import Catalog
from genret.errors import GenretError
from genret.generations import drop_older, following
from genret.histories import Histories, offsets_of
from genret.index import LiveIndex, TrieIndex
from genret.models import capabilities_of
from genret.semantic_ids import SemanticIds
from genret.tensors import read_npy
from genret.typing import Bool

KIND = "live"
INSERT_CAPACITY = 4096
"""Items that a run takes before it has to be compacted."""
_REMOVED = "removed.npy"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LiveItems:
    """The items of a run: a value, like the index; what changes it returns another one.

    Attributes:
      catalog: all items by row, removed ones included.
      semantic_ids: their semantic IDs.
      index: their index, with the same rows; a :class:`LiveIndex` where there are changes.
      trained: items that the model was trained with, which have the first rows as long as they are
        not compacted away.
      insert_capacity: items that can be inserted before the index has to be compacted.
    """

    catalog: Catalog
    semantic_ids: SemanticIds
    index: TrieIndex | LiveIndex
    trained: int
    insert_capacity: int = INSERT_CAPACITY

    @classmethod
    def load(cls, run: Run, *, model: Any = None, transitions: Any = None) -> "LiveItems":
        """Read the items of a run.

        Args:
          run: the run.
          model: the model that is to answer them; None: no matter which.
          transitions: the counts that it is fused with; None: there are none.

        Raises:
          GenretError: an artifact is missing, stale or damaged; or the model or its counts read the
            rows of items, and others have those of removed ones.
        """
        for kind in ("catalog", "codes", "index"):
            run.require(kind)
        if run.has(KIND):
            changed = cls._load_changed(run)
            if _by_row(model, transitions):
                changed._check_rows(run)
            return changed
        place = run.folder("catalog")
        verify_files(place, read_manifest(place, "catalog"))
        codes = run.folder("codes")
        verify_files(codes, read_manifest(codes, "codes"))
        semantic_ids = SemanticIds.load(codes)
        return cls(
            catalog=Catalog.load(place),
            semantic_ids=semantic_ids,
            index=TrieIndex.load(run.folder("index")),
            trained=len(semantic_ids),
        )

    @classmethod
    def _load_changed(cls, run: Run) -> "LiveItems":
        manifest, folder = run.require(KIND), run.folder(KIND)
        verify_files(folder, manifest)
        catalog, semantic_ids = Catalog.load(folder), SemanticIds.load(folder)
        removed = read_npy(folder / _REMOVED)
        built, capacity = (manifest.config.get(name, 0) for name in ("built", "insert_capacity"))
        right = len(semantic_ids) == catalog.num_items and removed.shape == (catalog.num_items,)
        if not (right and removed.dtype == bool and 0 < built <= catalog.num_items):
            raise GenretError(f"{folder}: damaged: its files are not of the same items")
        first = TrieIndex.from_codes(semantic_ids.take(slice(built)), catalog.item_ids[:built])
        items = cls(
            catalog=catalog,
            semantic_ids=semantic_ids,
            index=first,
            trained=read_manifest(run.folder("codes"), "codes").summary["items"],
            insert_capacity=capacity,
        )
        if built == catalog.num_items and not removed.any():
            return items
        live = LiveIndex(first, insert_capacity=capacity)
        if built < catalog.num_items:
            live = live.insert(semantic_ids.codes[built:], catalog.item_ids[built:].tolist())
        if removed.any():
            live = live.remove(catalog.item_ids[removed].tolist())
        return dataclasses.replace(items, index=live)

    def save(self, run: Run) -> str:
        """Write the next generation of ``live/``; return its fingerprint.

        Args:
          run: the run, which the caller holds for writing.
        """
        changed = self.index if isinstance(self.index, LiveIndex) else None
        built = self.index.num_items if changed is None else changed.base.num_items
        path = following(run.path / KIND)
        with write_folder(
            path,
            KIND,
            config={"built": built, "insert_capacity": self.insert_capacity},
            inputs={kind: run.require(kind).fingerprint for kind in ("catalog", "codes")},
            summary={
                "items": self.num_items,
                "inserted": self.catalog.num_items - built,
                "removed": int(self.removed.sum()),
            },
        ) as folder:
            self.catalog.save(folder)
            self.semantic_ids.save(folder)
            np.save(folder / _REMOVED, self.removed, allow_pickle=False)
        drop_older(run.path / KIND)
        return read_manifest(path, KIND).fingerprint

    @property
    def num_items(self) -> int:
        """Items that may be answered."""
        return self.catalog.num_items - int(self.removed.sum())

    @property
    def num_inserted(self) -> int:
        """Items that came since the index was built, removed ones included."""
        changes = self.index.changes if isinstance(self.index, LiveIndex) else None
        return 0 if changes is None else changes.num_inserted

    @property
    def removed(self) -> Bool[np.ndarray, "N"]:
        """Which items are not answered any more."""
        changes = self.index.changes if isinstance(self.index, LiveIndex) else None
        return np.zeros(self.catalog.num_items, bool) if changes is None else changes.removed

    # Changes

    def add(self, table: pa.Table, semantic_ids: SemanticIds) -> "LiveItems":
        """Return the items and some more.

        Args:
          table: rows with the catalog's columns, of ids that it does not have.
          semantic_ids: their semantic IDs.

        Raises:
          GenretError: there is no room for as many.
        """
        inserted, capacity = self.num_inserted, self.insert_capacity
        require(
            inserted + len(semantic_ids) <= capacity,
            f"add-items: found {len(semantic_ids):,} items, expected at most "
            f"{max(0, capacity - inserted):,}: {inserted:,} of the {capacity:,} places for new items are "
            "taken; run `genret compact` first, or give --insert-capacity",
        )
        rows = pa.concat_tables([self.catalog.table, table]).combine_chunks()
        return dataclasses.replace(
            self,
            catalog=Catalog(rows),
            semantic_ids=SemanticIds.from_codes(
                np.concatenate([self.semantic_ids.codes, semantic_ids.codes]),
                codes_per_level=self.semantic_ids.codes_per_level,
                end_code=self.semantic_ids.end_code,
            ),
            index=self._live().insert(semantic_ids.codes, table["item_id"].to_pylist()),
        )

    def remove(self, item_ids: Iterable[Any]) -> "LiveItems":
        """Return the items without some, which stay known where histories have them.

        Args:
          item_ids: ids, as they are or as text.

        Raises:
          GenretError: an id that is not in the catalog, was removed before, or is the last one.
        """
        rows = np.unique(self.catalog.rows_of(item_ids))
        gone = self.catalog.item_ids[rows[self.removed[rows]]].tolist()
        require(not gone, f"remove-items: the item {gone[:1]} was removed before")
        require(
            len(rows) < self.num_items,
            f"remove-items: found all {len(rows):,} items, expected some to stay",
        )
        left = self._live().remove(self.catalog.item_ids[rows].tolist())
        return dataclasses.replace(self, index=left)

    def compact(self, model: Any = None, transitions: Any = None) -> "LiveItems":
        """Return the items that are not removed, counted anew in their order, in one plain index.

        Removed items are forgotten: histories are read without them.

        Args:
          model: the model that is to answer them.
          transitions: the counts that it is fused with; None: there are none.

        Raises:
          GenretError: the model or its counts read the rows of items, and others would come to have
            those of removed ones.
        """
        if not isinstance(self.index, LiveIndex):
            return self
        gone = int(self.removed[: self.trained].sum())
        require(
            not (gone and _by_row(model, transitions)),
            f"compact: {gone:,} items that the model was trained with were removed, and the model "
            "reads items by row, which others would come to have; train it on the new catalog",
        )
        kept = np.flatnonzero(~self.removed)
        return dataclasses.replace(
            self,
            catalog=Catalog(self.catalog.table.take(pa.array(kept)).combine_chunks()),
            semantic_ids=self.semantic_ids.take(kept),
            index=self.index.compact().base,
        )

    def _check_rows(self, run: Run) -> None:
        """Refuse items whose first rows are not those of the training."""
        trained = Catalog.load(run.folder("catalog")).item_ids
        require(
            np.array_equal(self.catalog.item_ids[: len(trained)], trained),
            f"{run.folder(KIND)}: items that the model was trained with were compacted away, and the "
            "model reads items by row, which others have now; ingest the items anew and train again",
        )

    def _live(self) -> LiveIndex:
        if isinstance(self.index, LiveIndex):
            return self.index
        return LiveIndex(self.index, insert_capacity=self.insert_capacity)


def _by_row(model: Any, transitions: Any) -> bool:
    """Return whether a model, or the counts that it is fused with, knows items by their rows."""
    return transitions is not None or capabilities_of(model).reads_items


def fingerprints_of(run: Run, kinds: Sequence[str]) -> dict[str, str]:
    """Return the fingerprints of artifacts that answers depend on, and of ``live/`` if it is there.

    Raises:
      GenretError: an artifact is missing or stale.
    """
    there = [*kinds, *([KIND] if run.has(KIND) else [])]
    return {kind: run.require(kind).fingerprint for kind in there}


def known_histories(histories: Histories, trained: Catalog, now: Catalog) -> Histories:
    """Return histories of rows of one catalog as rows of another, without items that it lacks."""
    row_of = {item: row for row, item in enumerate(now.item_ids.tolist())}
    rows = np.array([row_of.get(item, -1) for item in trained.item_ids.tolist()], np.int32)
    items = rows[histories.items]
    known = items >= 0
    lengths = np.bincount(histories.owners[known], minlength=len(histories))
    return Histories(
        offsets=offsets_of(lengths),
        items=items[known],
        times=None if histories.times is None else histories.times[known],
        users=histories.users,
    )
