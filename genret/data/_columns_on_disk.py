"""Arrays that are appended to, in memory or in files without a name that are mapped into memory.

A file without a name takes disk instead of memory: the system reads what is used and drops it when
memory is short. The file is gone when the last array that maps it is.
"""

import mmap
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from genret.errors import GenretError
from genret.histories import Histories


class Column:
    """An array that grows.

    Args:
      dtype: of its numbers.
      folder: an existing folder for the file; None keeps the array in memory.

    >>> column = Column(np.int32, folder=None)
    >>> column.append([1, 2])
    >>> column.append([3])
    >>> column.array().tolist()
    [1, 2, 3]
    """

    def __init__(self, dtype: Any, folder: Path | None) -> None:
        self._dtype, self._folder = np.dtype(dtype), folder
        self._pieces: list[np.ndarray] = []
        try:
            # It is open until the array is asked for.
            self._file = None if folder is None else tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        except OSError as e:
            raise self._refused(e) from e

    def append(self, values: Any) -> None:
        """Put numbers at the end.

        Raises:
          GenretError: the disk is full.
        """
        piece = np.ascontiguousarray(values, self._dtype)
        if self._file is None:
            self._pieces.append(piece)
            return
        try:
            self._file.write(piece.data.cast("B") if len(piece) else b"")
        except OSError as e:
            raise self._refused(e) from e

    def array(self) -> np.ndarray:
        """Return all of it; nothing is appended afterwards. An array in a file is read-only.

        Raises:
          GenretError: the disk is full.
        """
        if self._file is None:
            return np.concatenate([np.empty(0, self._dtype), *self._pieces])
        try:
            self._file.flush()
            if not self._file.tell():
                return np.empty(0, self._dtype)
            mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as e:
            raise self._refused(e) from e
        finally:
            self._file.close()  # the mapping keeps it
        return np.frombuffer(mapped, self._dtype)

    def _refused(self, error: OSError) -> GenretError:
        return GenretError(
            f"{self._folder}: cannot hold the histories, which are too many for the memory: "
            f"{error.strerror or error}"
        )


class IdColumn:
    """Ids, text or integers, that grow; see :class:`Column`.

    In a file, text is ``large_string`` and integers are int64; in memory the type stays.
    """

    def __init__(self, kind: pa.DataType, folder: Path | None) -> None:
        self._kind, self._folder = kind, folder
        self._pieces: list[pa.Array] = []
        self._numbers = pa.types.is_integer(kind)
        self._values = Column(np.int64 if self._numbers else np.uint8, folder)
        self._ends = Column(np.int64, folder)
        self._end = 0
        self._ends.append([0])

    def append(self, ids: pa.Array) -> None:
        """Put ids at the end, of which none is null."""
        if self._folder is None:
            self._pieces.append(ids)
        elif self._numbers:
            self._values.append(ids.cast(pa.int64()).to_numpy())
        else:
            text = ids.cast(pa.large_string())
            _, ends, values = text.buffers()
            ends = np.frombuffer(ends, np.int64)[text.offset : text.offset + len(text) + 1]
            self._values.append(np.frombuffer(values or b"", np.uint8)[ends[0] : ends[-1]])
            self._ends.append(ends[1:] - ends[0] + self._end)
            self._end += int(ends[-1] - ends[0])

    def array(self) -> pa.Array:
        """Return all of them; nothing is appended afterwards."""
        if self._folder is None:
            return pa.concat_arrays(self._pieces) if self._pieces else pa.array([], self._kind)
        values, ends = self._values.array(), self._ends.array()
        if self._numbers:
            return pa.array(values)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(values)]
        return pa.Array.from_buffers(pa.large_string(), len(ends) - 1, buffers)


class HistoriesColumns:
    """Histories that grow by pieces of whole users; see :class:`Column`.

    Args:
      folder: an existing folder for the files; None keeps the histories in memory.
      timed: whether the events have times.
      named: whether the histories have ``users``.
    """

    def __init__(self, folder: Path | None, *, timed: bool, named: bool) -> None:
        self._offsets, self._end = Column(np.int64, folder), 0
        self._offsets.append([0])
        self._items = Column(np.int32, folder)
        self._times = Column(np.int64, folder) if timed else None
        self._users = Column(np.int32, folder) if named else None

    def append(self, piece: Histories) -> None:
        """Put the histories of more users at the end."""
        self._offsets.append(piece.offsets[1:] + self._end)
        self._end += piece.num_events
        self._items.append(piece.items)
        for column, values in ((self._times, piece.times), (self._users, piece.users)):
            if column is not None:
                column.append(values)

    def histories(self) -> Histories:
        """Return all of them; nothing is appended afterwards."""
        return Histories(
            offsets=self._offsets.array(),
            items=self._items.array(),
            times=None if self._times is None else self._times.array(),
            users=None if self._users is None else self._users.array(),
        )


def joined(
    pieces: Iterable[Histories], folder: Path | None, *, timed: bool, named: bool
) -> Histories:
    """Put pieces of whole users one after the other: the histories of :class:`HistoriesColumns`.

    >>> pieces = [Histories.from_lists([[1, 2], []]), Histories.from_lists([[3]])]
    >>> joined(pieces, None, timed=False, named=False).to_lists()
    [[1, 2], [], [3]]
    """
    columns = HistoriesColumns(folder, timed=timed, named=named)
    for piece in pieces:
        columns.append(piece)
    return columns.histories()
