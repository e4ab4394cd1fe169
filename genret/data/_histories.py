"""The histories of a run: what each user did, in order of time, and which events are held out."""

import dataclasses
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from genret.artifacts import read_manifest, verify_files
from genret.data._catalog import Catalog
from genret.data._leaks import check_leaks
from genret.data._splits import Split
from genret.errors import GenretError
from genret.histories import Histories
from genret.typing import Int, PathLike

HISTORIES_FILE = "histories.parquet"
_USERS_A_GROUP = 1 << 17
"""Users in a row group of Parquet."""
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

    @property
    def num_users(self) -> int:
        """Number of users, U."""
        return len(self.events)

    def training(self) -> Histories:
        """Return the training events of every user."""
        return dataclasses.replace(
            self.events.first(self.train_end), users=np.arange(self.num_users, dtype=np.int32)
        )

    def held_out(self, part: Literal["valid", "test"]) -> HeldOut:
        """Return the users with a held-out event of a part, their histories and that event.

        The history is all that came before; for the test it includes the validation event.
        """
        at = self.valid_at if part == "valid" else self.test_at
        users = np.flatnonzero(at >= 0).astype(np.int32)
        before = self.events.take(users).first(at[users])
        targets = self.events.items[self.events.offsets[users] + at[users]]
        return HeldOut(dataclasses.replace(before, users=users), targets)

    def row_of(self, user: str) -> int:
        """Return the row of a user by id.

        Raises:
          GenretError: no user has the id (the message gives close ones).
        """
        ids = self.user_ids.cast("string").to_pylist()
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
        fields = [
            ("user_id", self.user_ids.type),
            ("items", pa.list_(pa.int32())),
            *([("times", pa.list_(pa.int64()))] if self.events.times is not None else []),
            *((name, pa.int32()) for name in ("train_end", "valid_at", "test_at")),
        ]
        schema = pa.schema(fields, metadata={"split": self.split})
        file = Path(folder) / HISTORIES_FILE
        with pa.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for start in range(0, max(self.num_users, 1), _USERS_A_GROUP):
                end = min(start + _USERS_A_GROUP, self.num_users)
                part = self.events.slice(start, end)
                offsets = pa.array(part.offsets.astype(np.int32))
                columns = {
                    "user_id": self.user_ids[start:end],
                    "items": pa.ListArray.from_arrays(offsets, pa.array(part.items)),
                    "train_end": pa.array(self.train_end[start:end]),
                    "valid_at": pa.array(self.valid_at[start:end]),
                    "test_at": pa.array(self.test_at[start:end]),
                }
                if part.times is not None:
                    columns["times"] = pa.ListArray.from_arrays(offsets, pa.array(part.times))
                writer.write_table(pa.table(columns).select(schema.names).cast(schema))

    @classmethod
    def load(cls, folder: PathLike) -> "SplitHistories":
        """Read ``histories.parquet`` from a folder and check it for leaks.

        Raises:
          GenretError: it is missing, is no file of histories, or leaks.
        """
        file = Path(folder) / HISTORIES_FILE
        if not file.is_file():
            raise GenretError(f"{file}: no such file (the histories of a run)")
        try:
            table = pa.parquet.read_table(file)
        except (pa.ArrowException, OSError) as e:
            raise GenretError(f"{file}: cannot be read as Parquet: {e}") from e
        for name in ("user_id", "items", "train_end", "valid_at", "test_at"):
            if name not in table.column_names or table[name].null_count:
                raise GenretError(f"{file}: column {name!r} is missing or has nulls")
        for name in ("train_end", "valid_at", "test_at"):
            if table[name].type != pa.int32():
                raise GenretError(f"{file}: column {name!r} is {table[name].type}, expected int32")
        has_times = "times" in table.column_names
        split = (table.schema.metadata or {}).get(b"split", b"").decode()
        if split not in ("leave-one-out", "by-time"):
            raise GenretError(f"{file}: found the split {split!r}, expected a known one")
        items, offsets = _flat(table, "items", file)
        times, time_offsets = _flat(table, "times", file) if has_times else (None, offsets)
        if not np.array_equal(offsets, time_offsets):
            raise GenretError(f"{file}: 'items' and 'times' have different lengths")
        histories = cls(
            user_ids=_whole(table["user_id"]),
            events=Histories(offsets=offsets, items=items, times=times),
            train_end=table["train_end"].to_numpy(),
            valid_at=table["valid_at"].to_numpy(),
            test_at=table["test_at"].to_numpy(),
            split=split,
        )
        histories.check_leaks()
        return histories


def load_run_data(folder: PathLike) -> tuple[Catalog, SplitHistories]:
    """Read the catalog and the histories of a run.

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
    catalog, histories = Catalog.load(folder), SplitHistories.load(folder)
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


def _flat(table: pa.Table, name: str, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a column of lists, and where each list starts (and the end)."""
    column = table[name]
    if not pa.types.is_list(column.type) or not pa.types.is_integer(column.type.value_type):
        raise GenretError(f"{file}: column {name!r} is {column.type}, expected lists of integers")
    values = [chunk.flatten() for chunk in column.chunks]
    if column.null_count or any(v.null_count for v in values):
        raise GenretError(f"{file}: column {name!r} has nulls")
    lengths = [np.diff(chunk.offsets.to_numpy()) for chunk in column.chunks]
    dtype = np.dtype(column.type.value_type.to_pandas_dtype())
    flat = np.concatenate([np.empty(0, dtype), *(v.to_numpy() for v in values)])
    offsets = np.concatenate([[0], *(lengths or [[]])]).astype(np.int64)
    return flat, np.cumsum(offsets)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
