"""Reads the rows of interactions: ids become numbers, times are kept until their unit is known.

The rows lie in memory as long as there is room, and in a Parquet file of the scratch folder
beyond it; they come back chunk by chunk, in the order of the files.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genret.config import ColumnsConfig
from genret.data._columns import find_column
from genret.data._ids import IdEncoder
from genret.data._rejected import Rejected
from genret.data._sequences import expanded, history_column, is_history_name
from genret.data._source import Source
from genret.data._times import TimeChunk, TimeColumn
from genret.errors import GenretError
from genret.typing import Int

CHUNK_ROWS = 1 << 20
"""Rows whose ids are numbered together."""
_FILE = "events.parquet"


@dataclasses.dataclass
class EventChunk:
    """Some rows of the interactions.

    Attributes:
      first_row: number of the first row, over all files.
      user: number of each row's user, int32 [E]; -1: none.
      item: likewise.
      time: the times; None: there are none.
    """

    first_row: int
    user: Int[np.ndarray, "E"]
    item: Int[np.ndarray, "E"]
    time: TimeChunk | None


class EventStore:
    """Holds the rows until all are read.

    Args:
      most_rows: rows that may stay in memory.
      scratch: where the others go; None: all stay in memory.
    """

    def __init__(self, most_rows: int, scratch: Path | None) -> None:
        self.rows = 0
        self._most = most_rows
        self._scratch = scratch
        self._chunks: list[EventChunk] = []
        self._writer: pq.ParquetWriter | None = None

    @property
    def on_disk(self) -> bool:
        """Whether the rows were too many for the memory."""
        return self._writer is not None

    def add(self, chunk: EventChunk) -> None:
        """Take the next rows."""
        self.rows += len(chunk.user)
        self._chunks.append(chunk)
        if self._scratch is None or (self.rows <= self._most and not self._writer):
            return
        for k in range(len(self._chunks)):
            held = self._chunks[k]
            if len(held.user):
                self._write(held)
                empty = np.empty(0, np.int32)
                time = held.time
                if time is not None:  # the unreadable rows and their texts are few and stay
                    time = dataclasses.replace(time, values=np.empty(0, time.values.dtype))
                self._chunks[k] = EventChunk(held.first_row, empty, empty, time)

    def _write(self, chunk: EventChunk) -> None:
        raw = None if chunk.time is None else chunk.time.values.view(np.int64)
        columns = {"user": chunk.user, "item": chunk.item} | ({} if raw is None else {"raw": raw})
        table = pa.table(columns)
        if self._writer is None:
            assert self._scratch is not None
            self._writer = pq.ParquetWriter(self._scratch / _FILE, table.schema, compression="lz4")
        self._writer.write_table(table, row_group_size=max(len(table), 1))

    def chunks(self) -> Iterator[EventChunk]:
        """Give the rows back, once."""
        chunks, self._chunks = self._chunks, []
        if self._writer is None:
            chunks.reverse()
            while chunks:
                yield chunks.pop()
            return
        self._writer.close()
        assert self._scratch is not None
        with pq.ParquetFile(self._scratch / _FILE) as file:
            for group, chunk in enumerate(chunks):
                table = file.read_row_group(group)
                time = chunk.time
                if time is not None:
                    values = table["raw"].to_numpy().view(time.values.dtype)
                    time = dataclasses.replace(time, values=values)
                user, item = table["user"].to_numpy(), table["item"].to_numpy()
                yield EventChunk(chunk.first_row, user, item, time)


@dataclasses.dataclass
class EventLog:
    """All rows of the interactions.

    Attributes:
      store: the rows.
      times: their times; None: they have none.
      time_names: for each file, the name of its column of the time.
      roles: for each file, which column was taken for what.
      list_rows: rows that hold a whole history; a row of the store is one of its events.
      bad_lists: of these, rows whose list cannot be read.
      repeated_lists: of these, rows that hold nothing that a longer one does not.
    """

    store: EventStore
    times: TimeColumn | None
    time_names: list[str | None]
    roles: list[dict[str, str]]
    list_rows: int = 0
    bad_lists: int = 0
    repeated_lists: int = 0


def read_events(
    sources: Sequence[Source],
    columns: ColumnsConfig,
    users: IdEncoder,
    items: IdEncoder,
    store: EventStore,
    rejected: Rejected,
) -> EventLog:
    """Read the rows of all files.

    Args:
      sources: the files.
      columns: which columns mean what.
      users: numbers the users.
      items: numbers the items.
      store: takes the rows.
      rejected: takes what cannot be read.

    Returns:
      The rows.

    Raises:
      GenretError: a file or a column cannot be used.
    """
    log = EventLog(store, None, [], [])
    times = TimeColumn()
    for source in sources:
        rejected.begin(store.rows)
        start = store.rows
        user, item, time = _roles(source, sources[0], columns, log)
        history = history_column(source, columns.history, item)
        if history is not None:
            log.roles[-1]["history"] = history
        if history is not None:
            read = expanded(source, user, history, item, time)
            rejected.note("the list of items cannot be read", source, read.bad_rows)
            source = read.source
            log.list_rows += read.rows
            log.bad_lists += len(read.bad_rows)
            log.repeated_lists += read.repeated
            item, time = read.item, None
        log.time_names.append(time)
        if (time is None) != (log.time_names[0] is None):
            raise GenretError(
                f"{source.name}: {'lacks' if time is None else 'has'} times, unlike "
                f"{sources[0].name}"
            )
        names = list(dict.fromkeys(c for c in (user, item, time) if c is not None))
        for table in _chunks(source, names):
            numbers = []
            for encoder, name in ((users, user), (items, item)):
                where = f"{source.name}: column {name!r}"
                ids = table[name].combine_chunks()
                numbers.append(encoder.encode(ids, untyped=source.untyped, where=where))
            found = None
            if time is not None:
                where = f"{source.name}: column {time!r}"
                found = times.add(table[time].combine_chunks(), where=where)
            store.add(EventChunk(store.rows, numbers[0], numbers[1], found))
        if store.rows == start and source.folder is None:
            raise GenretError(f"{source.name}: has a header but no rows, expected interactions")
    if not store.rows:
        raise GenretError(f"{sources[0].folder}: its files have no rows, expected interactions")
    if log.time_names[0] is not None:
        log.times = times
    return log


def _roles(
    source: Source, first: Source, columns: ColumnsConfig, log: EventLog
) -> tuple[str, str | None, str | None]:
    """Return the columns of the user, the item and the time; the parts of a folder must agree."""
    user = find_column(source, "user", columns.user, needed=True)
    needed = columns.history is None and not any(map(is_history_name, source.columns))
    item = find_column(source, "item", columns.item, needed=needed)
    time = find_column(source, "time", columns.time, needed=False)
    assert user is not None
    for role, name in (("item", item), ("time", time)):
        if name == user or (name is not None and role == "time" and name == item):
            other = "user" if name == user else "item"
            raise GenretError(
                f"{source.name}: takes the column {name!r} for the {other} and for the {role}; "
                f"name another with --{role}"
            )
    roles = {"user": user, "item": item or "", "time": time or ""}
    if source.folder is not None and source.folder == first.folder and log.roles:
        for role, name in roles.items():
            if name != log.roles[0][role]:
                raise GenretError(
                    f"{source.name}: takes the column {name!r} for the {role}, where "
                    f"{first.name} takes {log.roles[0][role]!r}; name one with --{role}"
                )
    log.roles.append(roles)
    return user, item, time


def _chunks(source: Source, names: list[str]) -> Iterator[pa.Table]:
    """Read batches together until they make a chunk."""
    batches, rows = [], 0
    for batch in source.read(names):
        batches.append(batch)
        rows += batch.num_rows
        if rows >= CHUNK_ROWS:
            yield pa.Table.from_batches(batches)
            batches, rows = [], 0
    if rows:
        yield pa.Table.from_batches(batches)
