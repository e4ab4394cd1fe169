"""A table that can be read batch by batch, whatever its format."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa


@dataclasses.dataclass(frozen=True)
class Source:
    """A table that can be read batch by batch.

    Attributes:
      name: what to call it in errors (the path).
      columns: names of its columns.
      untyped: whether ids are text of an undecided type (``"12"`` may be the integer 12).
      read: gives the batches of the named columns; each call starts again.
      schema: types of the columns; None where a format has none (CSV).
      format: what it is, for the report ("CSV, gzip").
      lists: columns of text that hold lists (RecBole's ``token_seq`` and ``float_seq``).
      folder: the folder that it is a part of; None: it stands alone.
      partitions: columns that come from the names of folders (``date=2026-01-01``).
      notes: what was left out in opening it, for the report.
      first_line: line of the first row, where each row is one line; None: not known.
    """

    name: str
    columns: tuple[str, ...]
    untyped: bool
    read: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
    schema: pa.Schema | None = None
    format: str = "table"
    lists: frozenset[str] = frozenset()
    folder: str | None = None
    partitions: tuple[str, ...] = ()
    notes: tuple[tuple[str, int, str], ...] = ()
    first_line: int | None = None
