"""Examples of the rows that ingestion left out: file, row, line and reason."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from genret.data._source import Source
from genret.typing import Int

EXAMPLES = 100
"""Rows that are kept of each reason; the report counts all of them."""

_SCHEMA = pa.schema(
    [("file", pa.string()), ("row", pa.int64()), ("line", pa.int64()), ("reason", pa.string())]
)


class Rejected:
    """Collects the first rows of each reason, over files that are read one after the other.

    Args:
      sources: the files.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._starts: list[int] = []
        self._rows: dict[str, list[int]] = {}
        self._noted: list[tuple[Source, int, str]] = []

    def begin(self, first_row: int) -> None:
        """Say that the next file's rows are numbered from ``first_row`` on."""
        self._starts.append(first_row)

    def add(self, reason: str, rows: Int[np.ndarray, "R"]) -> None:
        """Take the rows, numbered over all files, that a rule left out."""
        kept = self._rows.setdefault(reason, [])
        kept.extend(rows[: EXAMPLES - len(kept)].tolist())

    def note(self, reason: str, source: Source, rows: Int[np.ndarray, "R"]) -> None:
        """Take rows of one file, numbered from 0, of which nothing else is read."""
        self._noted += [(source, int(row) + 1, reason) for row in rows[:EXAMPLES]]

    def place(self, row: int) -> tuple[Source, int]:
        """Return the file of a row, and the row's number in it, from 1."""
        file = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._sources[file], row - self._starts[file] + 1

    def table(self) -> pa.Table:
        """Return the examples, by reason."""
        placed = [(*self.place(row), reason) for reason, rows in self._rows.items() for row in rows]
        found = []
        for source, number, reason in self._noted + placed:
            line = None if source.first_line is None else source.first_line + number - 1
            found.append({"file": _label(source), "row": number, "line": line, "reason": reason})
        return pa.Table.from_pylist(found, schema=_SCHEMA)


def _label(source: Source) -> str:
    """Return a file's name; its folder's path is left out, as it says nothing about the data."""
    if source.folder is None:
        return Path(source.name).name
    return Path(source.name).relative_to(Path(source.folder).parent).as_posix()
