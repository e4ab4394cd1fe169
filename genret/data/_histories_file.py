"""``histories.parquet``: a row a user, read and written in pieces of whole users."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genret.data._columns_on_disk import Column, HistoriesColumns, IdColumn
from genret.errors import GenretError
from genret.histories import Histories
from genret.parquet import read_batches
from genret.typing import Int

HISTORIES_FILE = "histories.parquet"
SPLITS = ("leave-one-out", "by-time")
MOST_IN_MEMORY = 1 << 23
"""Events up to which histories are held in memory; more are put into files that are mapped."""
_USERS_A_GROUP = 1 << 17
"""Users in a row group of Parquet."""
_USERS_A_PIECE = 1 << 14
"""Users that are read together."""
_PARTS = ("train_end", "valid_at", "test_at")


def write_histories(
    folder: Path,
    user_ids: pa.Array,
    events: Histories,
    parts: dict[str, Int[np.ndarray, "U"]],
    split: str,
) -> None:
    """Write ``histories.parquet`` into a folder.

    Args:
      folder: where the file is to lie.
      user_ids: id of each user.
      events: all events of each user.
      parts: ``train_end``, ``valid_at`` and ``test_at`` of each user.
      split: how the events were split.
    """
    timed = events.times is not None
    fields = [
        ("user_id", user_ids.type),
        ("items", pa.list_(pa.int32())),
        *([("times", pa.list_(pa.int64()))] if timed else []),
        *((name, pa.int32()) for name in _PARTS),
    ]
    schema = pa.schema(fields, metadata={"split": split})
    with pq.ParquetWriter(folder / HISTORIES_FILE, schema, compression="zstd") as writer:
        for start in range(0, max(len(events), 1), _USERS_A_GROUP):
            end = min(start + _USERS_A_GROUP, len(events))
            piece = events.slice(start, end)
            offsets = pa.array(piece.offsets.astype(np.int32))
            columns = {
                "user_id": user_ids[start:end],
                "items": pa.ListArray.from_arrays(offsets, pa.array(piece.items)),
                **{name: pa.array(parts[name][start:end]) for name in _PARTS},
            }
            if piece.times is not None:
                columns["times"] = pa.ListArray.from_arrays(offsets, pa.array(piece.times))
            writer.write_table(pa.table(columns).select(schema.names).cast(schema))


def read_histories(folder: Path, scratch: Path | None) -> dict[str, Any]:
    """Read ``histories.parquet`` from a folder.

    Args:
      folder: where the file lies.
      scratch: an existing folder: more than :data:`MOST_IN_MEMORY` events are put into files there
        that have no name and are gone with the process. None: all are held in memory.

    Returns:
      ``user_ids``, ``events``, ``train_end``, ``valid_at``, ``test_at``, ``split``, and ``scratch``,
      which is None where they are held in memory.

    Raises:
      GenretError: the file is missing or is no file of histories, or the disk is full.
    """
    path = folder / HISTORIES_FILE
    if not path.is_file():
        raise GenretError(f"{path}: no such file (the histories of a run)")
    try:
        with pq.ParquetFile(path) as file:
            _check_schema(path, file.schema_arrow)
            if _num_events(file.metadata) <= MOST_IN_MEMORY:
                scratch = None
            return _read(path, file, scratch) | {"scratch": scratch}
    except (pa.ArrowException, OSError) as e:
        raise GenretError(f"{path}: cannot be read as Parquet: {e}") from e


def _check_schema(path: Path, schema: pa.Schema) -> None:
    for name in ("user_id", "items", *_PARTS):
        if name not in schema.names:
            raise GenretError(f"{path}: column {name!r} is missing or has nulls")
    for name in _PARTS:
        if schema.field(name).type != pa.int32():
            raise GenretError(
                f"{path}: column {name!r} is {schema.field(name).type}, expected int32"
            )
    for name in {"items", "times"} & set(schema.names):
        kind = schema.field(name).type
        if not pa.types.is_list(kind) or not pa.types.is_integer(kind.value_type):
            raise GenretError(f"{path}: column {name!r} is {kind}, expected lists of integers")
    split = (schema.metadata or {}).get(b"split", b"").decode()
    if split not in SPLITS:
        raise GenretError(f"{path}: found the split {split!r}, expected a known one")


def _num_events(metadata: pq.FileMetaData) -> int:
    """Return how many events a file has, an empty history counted as one, without reading them."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(n) for group in groups for n in range(group.num_columns)]
    return sum(c.num_values for c in columns if c.path_in_schema.split(".")[0] == "items")


def _read(path: Path, file: pq.ParquetFile, scratch: Path | None) -> dict[str, Any]:
    schema = file.schema_arrow
    timed = "times" in schema.names
    events = HistoriesColumns(scratch, timed=timed, named=False)
    users = IdColumn(schema.field("user_id").type, scratch)
    parts = {name: Column(np.int32, scratch) for name in _PARTS}
    for batch in _batches(path, file, ["user_id", "items", *_PARTS, *(["times"] * timed)]):
        users.append(batch["user_id"])
        for name, column in parts.items():
            column.append(batch[name].to_numpy())
        items, lengths = _flat(batch["items"], "items", path)
        times, time_lengths = _flat(batch["times"], "times", path) if timed else (None, lengths)
        if not np.array_equal(lengths, time_lengths):
            raise GenretError(f"{path}: 'items' and 'times' have different lengths")
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        events.append(Histories(offsets=offsets, items=items, times=times))
    return {
        "user_ids": users.array(),
        "events": events.histories(),
        **{name: column.array() for name, column in parts.items()},
        "split": schema.metadata[b"split"].decode(),
    }


def _batches(path: Path, file: pq.ParquetFile, names: list[str]) -> Iterator[pa.RecordBatch]:
    for batch in read_batches(file, _USERS_A_PIECE, names):
        for name in names:
            if batch[name].null_count:
                what = "has nulls" if name == "times" else "is missing or has nulls"
                raise GenretError(f"{path}: column {name!r} {what}")
        yield batch


def _flat(column: pa.ListArray, name: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of lists of integers, and the length of each list."""
    values = column.flatten()
    if values.null_count:
        raise GenretError(f"{path}: column {name!r} has nulls")
    return values.to_numpy(), np.diff(column.offsets.to_numpy()).astype(np.int64)
