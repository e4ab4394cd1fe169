"""Histories from files: shards become chunks of users with item rows, and rows to reject."""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genret.config import ScoreConfig, require
from genret.data import (
    BAD_TIME,
    NO_TIME,
    Source,
    distinct_ids,
    find_column,
    open_sources,
    parse_id_lists,
    read_times,
)
from genret.errors import GenretError
from genret.histories import Histories, offsets_of
from genret.typing import Int

HISTORY_NAMES = ("items", "history", "item_ids", "histories", "item_sequence", "sequence", "events")

Rejected = list[tuple[int | None, str | None, str]]
"""Row of the shard (None: not known any more), user, reason."""


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Users as a shard has them.

    Attributes:
      rows: row of the shard of each user, int64 [U].
      users: ids, text [U].
      histories: number of each item's id in ``names``, -1: null; with times where the shard has them.
      names: distinct ids, text.
      bad: reasons to reject a user that the reader found: {user of the chunk: reason}.
      filters: name of each user's filter; None: there is no such column.
    """

    rows: Any
    users: Any
    histories: Histories
    names: Any
    bad: dict[int, str]
    filters: Any


def read_chunks(
    file: Path, name: str, config: ScoreConfig, *, needs_times: bool = False
) -> Iterator[Chunk]:
    """Read a shard.

    Args:
      file: the file.
      name: what to call it in errors.
      config: columns and layout.
      needs_times: whether the model reads the time of each event.

    Yields:
      Chunks of ``config.chunk_users`` users, the last one shorter.

    Raises:
      GenretError: it cannot be read, or has not the columns that it should have.
    """
    if file.is_dir():
        raise GenretError(f"{name}: is a folder, expected a file")
    (source,) = open_sources(file, "histories")
    source = dataclasses.replace(source, name=name)
    user = find_column(source, "user", config.user, needed=True)
    item = find_column(source, "item", config.item, needed=False, also=HISTORY_NAMES)
    if item is None:
        find_column(source, "item", None, needed=True)  # says which columns there are
    columns = [user, item]
    if config.where_column is not None:
        columns.append(find_column(source, "filter", config.where_column, needed=True))
    lists = config.layout == "lists"
    if config.layout == "auto":
        lists = source.schema is not None and _is_list(source.schema.field(item).type)
    if lists:
        if needs_times:
            raise GenretError(
                f"{name}: found a row a user, expected a row an event with its time: the model reads "
                f"the time between events (time_buckets)"
            )
        yield from _lists(source, columns, config.chunk_users)
    else:
        needed = needs_times or config.time is not None
        time = find_column(source, "time", config.time, needed=needed)
        yield from _events(source, columns, time, config.chunk_users)


def _lists(source: Source, columns: list[Any], chunk_users: int) -> Iterator[Chunk]:
    """Read a row a user."""
    first = 0
    for table in _tables(source, columns, chunk_users):
        users, lists = (_joined(table[c]) for c in columns[:2])
        where = f"{source.name}: column {columns[1]!r}"
        bad: dict[int, str] = {}
        if not _is_list(lists.type):
            lists, unread = _split(lists, where)
            bad = dict.fromkeys(np.flatnonzero(unread).tolist(), "the history is no list of ids")
        for null in np.flatnonzero(pc.is_null(lists)).tolist():
            bad.setdefault(null, "the history is null")
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        numbers, names, _ = distinct_ids(pc.list_flatten(lists), where)
        yield Chunk(
            rows=np.arange(first, first + len(table)),
            users=_texts(users, f"{source.name}: column {columns[0]!r}"),
            histories=Histories(offsets=offsets_of(lengths), items=numbers),
            names=names,
            bad=bad,
            filters=_filters(table, columns, source),
        )
        first += len(table)


def _events(
    source: Source, columns: list[Any], time: str | None, chunk_users: int
) -> Iterator[Chunk]:
    """Read a row an event: the whole shard, for a user's events may lie anywhere in it."""
    wanted = list(dict.fromkeys([*columns, *([time] if time else [])]))
    batches = list(source.read(wanted))
    if not batches:
        return
    table = pa.Table.from_batches(batches).select(wanted)
    users = _texts(_joined(table[columns[0]]), f"{source.name}: column {columns[0]!r}")
    numbers, names, _ = distinct_ids(
        _joined(table[columns[1]]), f"{source.name}: column {columns[1]!r}"
    )
    owner, distinct, _ = distinct_ids(users, source.name)
    times = np.zeros(len(owner), np.int64)
    if time is not None:
        times = read_times(_joined(table[time]), f"{source.name}: column {time!r}")
    filters = _filters(table, columns, source)
    # Users in the order in which they first appear; nobody's events come first and are rejected.
    order = np.lexsort((np.arange(len(owner)), times, owner))
    owner, numbers = owner[order], numbers[order]
    nobody = int((owner < 0).sum())
    if nobody:
        yield _nobody(order[:nobody], filters)
    owner, numbers, order = owner[nobody:], numbers[nobody:], order[nobody:]
    bounds = np.searchsorted(owner, np.arange(len(distinct) + 1))
    first_rows = np.minimum.reduceat(order, bounds[:-1]) if len(distinct) else order
    found = times[order]
    reasons = dict.fromkeys(owner[found == BAD_TIME].tolist(), "an event has a time of no use")
    reasons |= dict.fromkeys(owner[found == NO_TIME].tolist(), "an event has no time")
    for start in range(0, len(distinct), chunk_users):
        stop = min(start + chunk_users, len(distinct))
        events = slice(bounds[start], bounds[stop])
        rows = first_rows[start:stop]
        yield Chunk(
            rows=rows,
            users=distinct[start:stop],
            histories=Histories(
                offsets=bounds[start : stop + 1] - bounds[start],
                items=numbers[events],
                times=None if time is None else found[events],
            ),
            names=names,
            bad={u - start: reason for u, reason in reasons.items() if start <= u < stop},
            filters=None if filters is None else filters.take(pa.array(rows)),
        )


def _nobody(rows: Int[np.ndarray, "R"], filters: Any) -> Chunk:
    """Return a chunk of events without a user."""
    return Chunk(
        rows=rows,
        users=pa.nulls(len(rows), pa.large_string()),
        histories=Histories.from_lists([[]] * len(rows)),
        names=pa.array([], pa.large_string()),
        bad={},
        filters=None if filters is None else filters.take(pa.array(rows)),
    )


def _tables(source: Source, columns: list[Any], chunk_users: int) -> Iterator[pa.Table]:
    """Read tables of ``chunk_users`` rows, however the file is cut."""
    wanted = list(dict.fromkeys(columns))
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in itertools.chain(source.read(wanted), [None]):
        while rows >= chunk_users or (batch is None and rows):
            whole = pa.Table.from_batches(held)
            yield whole.slice(0, chunk_users)
            rest = whole.slice(chunk_users)
            held, rows = rest.to_batches(), rest.num_rows
        if batch is not None:
            held.append(batch)
            rows += batch.num_rows


def _filters(table: pa.Table, columns: list[Any], source: Source) -> Any:
    if len(columns) < 3:
        return None
    return _texts(_joined(table[columns[2]]), f"{source.name}: column {columns[2]!r}")


def _split(column: pa.Array, where: str) -> tuple[pa.Array, np.ndarray]:
    """Return the lists of ids of a text column (CSV has none), and the rows without one."""
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        raise GenretError(f"{where}: found {column.type}, expected lists, or ids between spaces")
    return parse_id_lists(column)


def _texts(column: pa.Array, where: str) -> pa.Array:
    """Return ids as text; an empty one is null."""
    numbers, names, _ = distinct_ids(column, where)
    empty = pc.equal(pc.binary_length(names), 0).to_numpy(zero_copy_only=False)
    null = (numbers < 0) | np.append(empty, False)[numbers]
    return names.take(pa.array(numbers, mask=null))


def _joined(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    if isinstance(joined, pa.ChunkedArray):
        joined = pa.concat_arrays(joined.chunks) if joined.num_chunks else pa.array([], column.type)
    return joined


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


@dataclasses.dataclass(frozen=True)
class Encoded:
    """Users to score.

    Attributes:
      rows: row of the shard of each user, int64 [U].
      users: ids, text [U].
      histories: item rows; with times where the shard has them, and users where the model reads them.
      filter_of: number of each user's filter, int32 [U]; -1: none. None: one for all, or none.
      rejected: what is not scored, and why.
      dropped: items of histories that the catalog does not have, and that were left out.
    """

    rows: Any
    users: Any
    histories: Histories
    filter_of: Any
    rejected: Rejected
    dropped: int


class Encoder:
    """Turns the ids of one shard into item rows, and picks out what cannot be scored.

    Args:
      item_ids: the ids of the catalog, in the order of its rows.
      config: what to do with unknown items.
      filter_names: the filters, in order.
      user_ids: ids of the users that the model was trained on, by row; None: it does not read who
        the user is.
    """

    def __init__(
        self,
        item_ids: pa.Array,
        config: ScoreConfig,
        filter_names: tuple[str, ...],
        user_ids: pa.Array | None = None,
    ) -> None:
        self._ids = item_ids.cast(pa.string()).cast(pa.large_string())
        self._reject = config.unknown_items == "reject"
        self._filters = pa.array(filter_names, pa.large_string())
        self._by_column = config.where_column is not None
        self._most_seen = config.most_seen if config.exclude_seen else None
        self._user_ids = user_ids
        self._known: set[str] = set()

    def encode(self, chunk: Chunk) -> Encoded:
        """Encode the next chunk of the shard."""
        reasons = dict(chunk.bad)
        count = len(chunk.users)
        row_of_name = pc.index_in(chunk.names, value_set=self._ids).fill_null(-1).to_numpy()
        items = np.append(row_of_name.astype(np.int32), np.int32(-1))[chunk.histories.items]
        owner = chunk.histories.owners
        known = items >= 0
        for user in np.unique(owner[chunk.histories.items < 0]).tolist():
            reasons.setdefault(user, "an item of the history is null")
        unknown = np.bincount(owner[~known], minlength=count)
        some = np.bincount(owner[known], minlength=count)
        wrong = (unknown > 0) & (self._reject | (some == 0))
        for user in np.flatnonzero(wrong).tolist():
            if user not in reasons:
                begin, end = chunk.histories.offsets[user : user + 2]
                first = begin + int(np.argmin(known[begin:end]))
                name = chunk.names[int(chunk.histories.items[first])].as_py()
                reasons[user] = (
                    f"item {name[:80]!r} is not in the catalog"
                    if self._reject
                    else f"no item of the history is in the catalog ({name[:80]!r}, say)"
                )
        filter_of = self._filter_numbers(chunk, reasons)
        users = chunk.users.to_pylist()
        for number, user in enumerate(users):
            if user is None:
                reasons[number] = "the user is null"
            elif user in self._known:
                reasons[number] = "the user occurs before in this shard"
            elif number not in reasons:
                self._known.add(user)
        if self._most_seen is not None:
            for user in np.flatnonzero(some > self._most_seen).tolist():
                own = slice(*chunk.histories.offsets[user : user + 2])
                distinct = len(np.unique(items[own][known[own]]))
                if distinct > self._most_seen:
                    reasons.setdefault(
                        user,
                        f"the history has {distinct} distinct items, at most "
                        f"{self._most_seen} can be excluded",
                    )
        good = np.ones(count, bool)
        good[list(reasons)] = False
        kept = known & good[owner]
        lengths = np.bincount(owner[kept], minlength=count)[good]
        times = chunk.histories.times
        answered = chunk.users.filter(pa.array(good))
        return Encoded(
            rows=chunk.rows[good],
            users=answered,
            histories=Histories(
                offsets=offsets_of(lengths),
                items=items[kept],
                times=None if times is None else times[kept],
                users=self._trained_rows(answered),
            ),
            filter_of=None if filter_of is None else filter_of[good],
            rejected=[(int(chunk.rows[n]), users[n], reasons[n]) for n in sorted(reasons)],
            dropped=int(unknown[good].sum()),
        )

    def _trained_rows(self, users: pa.Array) -> Int[np.ndarray, "U"] | None:
        """Return the row of each user in the training data, -1 for those whom it did not hold."""
        if self._user_ids is None:
            return None
        rows: np.ndarray = pc.index_in(users, value_set=self._user_ids).fill_null(-1).to_numpy()
        return rows

    def _filter_numbers(self, chunk: Chunk, reasons: dict[int, str]) -> Int[np.ndarray, "U"] | None:
        if not self._by_column:
            return None
        require(chunk.filters is not None, "where_column: not read")
        numbers = pc.index_in(chunk.filters, value_set=self._filters, skip_nulls=True)
        numbers = numbers.fill_null(-1).to_numpy().astype(np.int32)
        lost = (numbers < 0) & pc.is_valid(chunk.filters).to_numpy(zero_copy_only=False)
        for user in np.flatnonzero(lost).tolist():
            name = chunk.filters[user].as_py()
            reasons.setdefault(user, f"unknown filter {name[:80]!r}")
        return numbers
