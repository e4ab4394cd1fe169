"""The histories of a run: what each user did, in order of time, and which events are held out."""

import dataclasses
import difflib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from genret.artifacts import read_manifest, verify_files
from genret.data._catalog import Catalog
from genret.data._columns_on_disk import Column, joined
from genret.data._histories_file import HISTORIES_FILE, read_histories, write_histories
from genret.data._leaks import check_leaks
from genret.data._splits import Split
from genret.errors import GenretError
from genret.histories import Histories
from genret.typing import Int, PathLike

_USERS_A_PIECE = 1 << 16
"""Users whose events are looked at, or copied, together where they do not fit into memory."""
_SEARCHED_USERS = 100_000
"""Users searched for a close match of an unknown id."""


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
    """Questions with known answers: histories and the item that followed each of them.

    Attributes:
      histories: the events before each held-out one; their ``users`` are rows of the run's users.
      targets: the item that followed, int32 [Q].
    """

    histories: Histories
    targets: Int[np.ndarray, "Q"]

    def __len__(self) -> int:
        """Number of questions, Q."""
        return len(self.targets)

    def take(self, rows: Int[np.ndarray, "R"]) -> "HeldOut":
        """Return some of the questions."""
        return HeldOut(self.histories.take(rows), self.targets[rows])


@dataclasses.dataclass(frozen=True, eq=False)
class SplitHistories:
    """The histories of a run's users, split into training, validation and test events.

    The first ``train_end`` events of a user are for training; those at ``valid_at`` and ``test_at``
    are held out (-1: none). See :mod:`genret.data._splits`.

    Attributes:
      user_ids: ids of the users, strings or int64 [U].
      events: all events of each user.
      train_end: number of training events of each user, int32 [U].
      valid_at: position of each user's validation event, int32 [U].
      test_at: position of each user's test event, int32 [U].
      split: how they were split.
      scratch: folder for the events of a part, in files without a name, where all events do not fit
        into memory; None: they do.

    >>> one = np.array([1], np.int32)
    >>> histories = SplitHistories(
    ...     pa.array(["ann"]), Histories.from_lists([[7, 8, 9]]),
    ...     train_end=one, valid_at=one, test_at=one + 1)
    >>> held_out = histories.held_out("test")
    >>> held_out.histories.to_lists(), held_out.targets.tolist()
    ([[7, 8]], [9])
    """

    user_ids: pa.Array
    events: Histories
    train_end: Int[np.ndarray, "U"]
    valid_at: Int[np.ndarray, "U"]
    test_at: Int[np.ndarray, "U"]
    split: Literal["leave-one-out", "by-time"] = "leave-one-out"
    scratch: Path | None = None

    @property
    def num_users(self) -> int:
        """Number of users, U."""
        return len(self.events)

    def training(self) -> Histories:
        """Return the training events of every user."""
        users = np.arange(self.num_users, dtype=np.int32)
        return self._first(users, self.train_end)

    def held_out(self, part: Literal["valid", "test"]) -> HeldOut:
        """Return the users with a held-out event of a part, their histories and that event.

        The history is all that came before; for the test it includes the validation event.
        """
        at = self.valid_at if part == "valid" else self.test_at
        users = np.flatnonzero(at >= 0).astype(np.int32)
        targets = Column(np.int32, self.scratch)
        for rows in self._pieces(users):
            targets.append(self.events.items[self.events.offsets[rows] + at[rows]])
        return HeldOut(self._first(users, at), targets.array())

    def _first(self, users: Int[np.ndarray, "R"], counts: Int[np.ndarray, "U"]) -> Histories:
        """Return the oldest events of some users, so many of each as ``counts`` says of it."""
        pieces = (
            dataclasses.replace(self.events.take(rows).first(counts[rows]), users=rows)
            for rows in self._pieces(users)
        )
        return joined(pieces, self.scratch, timed=self.events.times is not None, named=True)

    def _pieces(self, users: Int[np.ndarray, "R"]) -> Iterator[Int[np.ndarray, "P"]]:
        """Yield users in pieces; all at once where the histories are in memory."""
        size = max(1, len(users)) if self.scratch is None else _USERS_A_PIECE
        for first in range(0, len(users), size):
            yield users[first : first + size]

    def row_of(self, user: str) -> int:
        """Return the row of a user by id.

        Raises:
          GenretError: no user has the id (the message gives close ones).
        """
        ids = self.user_ids.cast("large_string").to_pylist()
        try:
            return int(ids.index(str(user)))
        except ValueError:
            close = difflib.get_close_matches(str(user), ids[:_SEARCHED_USERS], 3)
            hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise GenretError(f"no user has the id {user!r} ({len(ids)} users){hint}") from None

    def whole(self, rows: Sequence[int] | Int[np.ndarray, "R"]) -> Histories:
        """Return all events of some users, held-out ones included, by row."""
        users = np.asarray(rows, np.int32)
        return dataclasses.replace(self.events.take(users), users=users)

    def check_leaks(self) -> None:
        """Check that no held-out event can be learned from, as every reader of histories does.

        Raises:
          GenretError: a training event is not older than a held-out one, or events are out of
            order; the message names the user.
        """
        check_leaks(
            self.user_ids,
            self.events,
            Split(self.train_end, self.valid_at, self.test_at),
            by_time=self.split == "by-time",
        )

    def save(self, folder: PathLike) -> None:
        """Write ``histories.parquet`` into a folder, a row a user."""
        parts = {"train_end": self.train_end, "valid_at": self.valid_at, "test_at": self.test_at}
        write_histories(Path(folder), self.user_ids, self.events, parts, self.split)

    @classmethod
    def load(cls, folder: PathLike, scratch: PathLike | None = None) -> "SplitHistories":
        """Read ``histories.parquet`` from a folder and check it for leaks.

        Args:
          folder: where the file lies.
          scratch: an existing folder: where the events do not fit into memory, they are put into
            files there that have no name and are gone with the process. None holds them in memory.

        Raises:
          GenretError: it is missing, is no file of histories, or leaks; or the disk is full.
        """
        found = read_histories(Path(folder), None if scratch is None else Path(scratch))
        histories = cls(**found)
        histories.check_leaks()
        return histories


def load_run_data(folder: PathLike) -> tuple[Catalog, SplitHistories]:
    """Read the catalog and the histories of a run.

    More than 8 million events are put into files without a name in the run folder (or, where it
    cannot be written, in the system's folder of temporary files) and mapped into memory.

    Args:
      folder: the run folder, or its ``catalog/``.

    Returns:
      The catalog and the histories.

    Raises:
      GenretError: the artifact is missing, damaged, leaks, or its two files do not belong
        together.
    """
    folder = Path(folder)
    if (folder / "catalog").is_dir():
        folder = folder / "catalog"
    verify_files(folder, read_manifest(folder, "catalog"))
    scratch = folder.parent if os.access(folder.parent, os.W_OK) else tempfile.gettempdir()
    catalog, histories = Catalog.load(folder), SplitHistories.load(folder, scratch)
    histories.events.check_items(catalog.num_items, f"{folder / HISTORIES_FILE}: column 'items'")
    return catalog, histories


def load_user_ids(folder: PathLike) -> pa.Array:
    """Read the ids of a run's users as text, by row, without their histories.

    Args:
      folder: the run folder, or its ``catalog/``.

    Raises:
      GenretError: the file is missing or damaged.
    """
    folder = Path(folder)
    if (folder / "catalog").is_dir():
        folder = folder / "catalog"
    file = folder / HISTORIES_FILE
    try:
        column = pa.parquet.read_table(file, columns=["user_id"])["user_id"]
    except (pa.ArrowException, OSError, KeyError) as e:
        raise GenretError(f"{file}: cannot be read as Parquet: {e}") from e
    return _whole(column).cast(pa.string()).cast(pa.large_string())


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
