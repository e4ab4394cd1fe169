"""The catalog: every item, in an order that says nothing about their histories."""

import dataclasses
import difflib
import functools
import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from genret.errors import GenretError
from genret.typing import Int, PathLike

ITEMS_FILE = "items.parquet"
TEXT_COLUMNS = b"text_columns"
"""Key of the table's metadata: which columns are embedded as text, where somebody chose them."""
_CLOSE_TITLES = 20_000
"""Titles searched for a close match; comparing more would take longer than a reader waits."""


@dataclasses.dataclass(frozen=True)
class Catalog:
    """The items that can be recommended.

    The number of a row is the number of the item everywhere else ("item row"). Rows are ordered
    by a hash of the item's id, so that the number does not tell when an item was first seen.

    Attributes:
      table: columns ``item_id`` (string or int64, distinct) and ``title`` (string), then the
        others, a row an item.

    >>> table = pa.table({"item_id": [10, 20], "title": ["Alien", "Aliens"]})
    >>> catalog = Catalog.from_table(table)
    >>> catalog.titles[catalog.find("alien")]
    'Alien'
    >>> catalog.rows_of([20, 10]).tolist() == [catalog.find("20"), catalog.find("10")]
    True
    """

    table: pa.Table

    def __post_init__(self) -> None:
        for name, kinds in (("item_id", (pa.int64(), pa.string())), ("title", (pa.string(),))):
            if name not in self.table.column_names:
                raise GenretError(f"catalog: has no column {name!r}")
            column = self.table[name]
            if column.type not in kinds:
                expected = " or ".join(map(str, kinds))
                raise GenretError(f"catalog: column {name!r} is {column.type}, expected {expected}")
            if column.null_count:
                raise GenretError(f"catalog: column {name!r} has {column.null_count} nulls")
        distinct = pc.count_distinct(self.table["item_id"]).as_py()
        if distinct < self.table.num_rows:
            raise GenretError(
                f"catalog: column 'item_id' has {distinct} distinct ids in {self.table.num_rows} "
                "rows, expected no id twice"
            )

    @classmethod
    def from_table(cls, table: pa.Table) -> "Catalog":
        """Make a catalog of a table with the columns ``item_id`` and ``title``, in any order."""
        if "item_id" not in table.column_names:
            raise GenretError("catalog: has no column 'item_id'")
        return cls(table.take(pa.array(hash_order(table["item_id"].to_pylist()))))

    @property
    def num_items(self) -> int:
        """Number of items."""
        return int(self.table.num_rows)

    @functools.cached_property
    def item_ids(self) -> np.ndarray:
        """Ids by row: an array [N] of int64 or of Python strings."""
        return np.asarray(self.table["item_id"].to_numpy())

    @functools.cached_property
    def titles(self) -> list[str]:
        """Titles by row."""
        return list(self.table["title"].to_pylist())

    @functools.cached_property
    def _row_of_text(self) -> dict[str, int]:
        return {str(i): row for row, i in enumerate(self.table["item_id"].to_pylist())}

    @functools.cached_property
    def _rows_of_title(self) -> dict[str, list[int]]:
        """The rows of each title, without regard to case."""
        rows: dict[str, list[int]] = {}
        for row, title in enumerate(self.titles):
            rows.setdefault(title.casefold(), []).append(row)
        return rows

    def rows_of(self, ids: Iterable[Any]) -> Int[np.ndarray, "E"]:
        """Return the rows of item ids, int32; an id may be given as a number or as its text.

        Raises:
          GenretError: an id is not in the catalog.
        """
        ids = [str(i) for i in ids]
        rows = [self._row_of_text.get(i, -1) for i in ids]
        if -1 in rows:
            unknown = ids[rows.index(-1)]
            raise GenretError(f"item {unknown!r} is not in the catalog of {self.num_items} items")
        return np.array(rows, np.int32)

    def find(self, text: str) -> int:
        """Return the row of the item that a text refers to.

        Tried in turn: an id, a title, a title in other case, a part of a title. The first that
        fits anything must fit one item.

        Args:
          text: what was typed.

        Returns:
          The item row.

        Raises:
          GenretError: nothing fits (the message gives close titles), or several items do.
        """
        if text in self._row_of_text:
            return self._row_of_text[text]
        folded = text.casefold().strip()
        same = self._rows_of_title.get(text.casefold(), [])
        tests = (
            lambda: [row for row in same if self.titles[row] == text],
            lambda: self._rows_of_title.get(folded, []),
            lambda: self._rows_with(folded),
        )
        for test in tests:
            rows = test()
            if len(rows) == 1:
                return rows[0]
            if rows:
                shown = ", ".join(f"{self.titles[r]!r} (id {self.item_ids[r]})" for r in rows[:5])
                more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
                raise GenretError(f"{text!r} fits {len(rows)} items: {shown}{more}; give an id")
        close = difflib.get_close_matches(text, self.titles[:_CLOSE_TITLES], 3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise GenretError(f"no item has the id or title {text!r}{hint}")

    def _rows_with(self, part: str) -> list[int]:
        """Return the rows whose titles contain a text, in any case."""
        if not part:
            return []
        found = (rows for title, rows in self._rows_of_title.items() if part in title)
        return sorted(itertools.chain.from_iterable(found))

    def text_columns(self, columns: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the columns that are read as text.

        Args:
          columns: those to read; empty takes those that were chosen when the items were read, or
            else every column of text but the id, title first.

        Raises:
          GenretError: a column is not there.
        """
        for name in columns:
            if name not in self.table.column_names:
                raise GenretError(
                    f"catalog: has no column {name!r}; its columns are "
                    f"{', '.join(self.table.column_names)}"
                )
        others = [f.name for f in self.table.schema if is_text(f.type)]
        usual = ["title", *(c for c in others if c not in ("item_id", "title"))]
        kept = (self.table.schema.metadata or {}).get(TEXT_COLUMNS)
        return tuple(columns or (json.loads(kept) if kept else usual))

    def text(self, columns: Sequence[str] = ()) -> list[str]:
        """Return what is known about each item as one text.

        Args:
          columns: columns to read; empty takes those of :meth:`text_columns`.

        Returns:
          A text for each item, parts joined by ``". "``, nulls left out.

        Raises:
          GenretError: a column is not there.

        >>> table = pa.table({"item_id": ["a"], "title": ["Alien"], "genres": [["Horror", "Sci-Fi"]]})
        >>> Catalog(table).text()
        ['Alien. Horror, Sci-Fi']
        """
        chosen = self.text_columns(columns)
        parts = [map(_plain, self.table[c].to_pylist()) for c in chosen]
        return [". ".join(p for p in row if p) for row in zip(*parts, strict=True)]

    def save(self, folder: PathLike) -> None:
        """Write ``items.parquet`` into a folder.

        Raises:
          GenretError: a column has a type that Parquet cannot hold.
        """
        try:
            pa.parquet.write_table(self.table, Path(folder) / ITEMS_FILE, compression="zstd")
        except pa.ArrowException as e:
            raise GenretError(f"catalog: cannot be written as Parquet: {e}") from e

    @classmethod
    def load(cls, folder: PathLike) -> "Catalog":
        """Read ``items.parquet`` from a folder.

        Raises:
          GenretError: it is missing or is no catalog.
        """
        file = Path(folder) / ITEMS_FILE
        if not file.is_file():
            raise GenretError(f"{file}: no such file (the items of a catalog)")
        try:
            return cls(pa.parquet.read_table(file))
        except (pa.ArrowException, OSError) as e:
            raise GenretError(f"{file}: cannot be read as Parquet: {e}") from e


def hash_order(ids: Iterable[Any]) -> Int[np.ndarray, "N"]:
    """Return the order of item ids by the BLAKE2b hash of their text.

    >>> hash_order([1, 2, 3]).tolist() == hash_order(["1", "2", "3"]).tolist()
    True
    """
    digests = b"".join(hashlib.blake2b(str(i).encode(), digest_size=8).digest() for i in ids)
    return np.argsort(np.frombuffer(digests, ">u8"), kind="stable")


def is_text(kind: pa.DataType) -> bool:
    """Say whether a column of a type is text, or lists of text."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(v) for v in value if v is not None)
    return "" if value is None else str(value)
