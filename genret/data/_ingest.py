"""Ingestion: files of interactions and items become a catalog and histories.

The rules apply in this order, and each is counted in the report:

1. A row without a user, an item or a time (null or empty) is dropped.
2. A row whose item is not in the items files is dropped, or refused (``unknown_items``). Without
   items files the catalog is the items of the rows that are left.
3. A row equal to an earlier one in user, item and time is dropped, or kept (``duplicates``).
   Without times every row is an event of its own.
4. Iterative k-core (``min_user_events``, ``min_item_events``).
5. The events of a user are ordered by time, ties and histories without times by row.
6. The split (``split``). Users too short to hold anything out are for training only.

Files are streamed. Memory grows with 16 bytes a row and the distinct ids, not with the files.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from genret.config import ColumnsConfig, IngestConfig
from genret.data._catalog import Catalog, hash_order
from genret.data._columns import find_column
from genret.data._histories import SplitHistories
from genret.data._ids import IdEncoder
from genret.data._items import items_by_id, read_items
from genret.data._report import IngestReport, Rule
from genret.data._rules import core_rows, order_in_time, repeated_rows
from genret.data._source import Source
from genret.data._sources import open_sources
from genret.data._splits import by_time, check_leaks, leave_one_out
from genret.data._times import NO_TIME, OTHER_UNIT, TimeColumn, absurd_rows
from genret.errors import GenretError
from genret.histories import Histories

CHUNK_ROWS = 1 << 20
"""Rows whose ids are numbered together."""


def ingest(
    interactions: Any,
    items: Any = None,
    *,
    columns: ColumnsConfig | None = None,
    config: IngestConfig | None = None,
) -> tuple[Catalog, SplitHistories, IngestReport]:
    """Read interactions and items into a catalog and histories.

    Args:
      interactions: paths of files, tables (anything with ``__arrow_c_stream__``), or a sequence
        of these.
      items: likewise; None makes the catalog of the items seen, with ids as titles.
      columns: which columns mean what.
      config: the rules.

    Returns:
      The catalog, the histories (checked for leaks) and the report.

    Raises:
      GenretError: input that cannot be used; the message names file, column and row.

    >>> log = pa.table({"user": list("aaab"), "item": [3, 1, 2, 3], "time": [5, 9, 7, 1]})
    >>> catalog, histories, report = ingest(log)
    >>> catalog.item_ids[histories.events.items].tolist(), histories.test_at.tolist()
    ([3, 2, 1, 3], [2, -1])
    >>> report.count("users with one event")
    1
    """
    columns, config = columns or ColumnsConfig(), config or IngestConfig()
    sources = open_sources(interactions, "interactions")
    item_sources = open_sources(items, "items") if items is not None else []
    item_encoder, user_encoder = IdEncoder(), IdEncoder()
    rules = []
    listed = read_items(item_sources, columns, item_encoder) if item_sources else None
    if listed:
        rules += [
            Rule("item rows read", listed.rows, f"from {len(item_sources)} file(s)"),
            Rule("item rows without an id", listed.without_id, "dropped"),
            Rule("item rows with an id seen before", listed.repeated, "dropped, the first kept"),
            Rule("items without a title", listed.without_title, "shown by their id"),
        ]
    known = len(item_encoder)
    user, item, time = _read_events(sources, columns, user_encoder, item_encoder)
    rules.append(Rule("rows read", len(user), f"from {len(sources)} file(s)"))

    # Rules 1 to 4 narrow down `rows`, the rows that are left, in order.
    rows = np.arange(len(user))
    for role, numbers in (("user", user), ("item", item)):
        rows, dropped = _keep(rows, numbers[rows] >= 0)
        rules.append(
            Rule(f"rows without {'an' if role == 'item' else 'a'} {role}", dropped, "dropped")
        )
    if time is not None:
        rows, dropped = _keep(rows, time[rows] != NO_TIME)
        rules.append(Rule("rows without a time", dropped, "dropped"))
    if listed:
        rows, rule = _known_items(rows, item, known, item_encoder, config)
        rules.append(rule)
    seen = np.unique(item[rows])
    if time is not None:
        repeated = repeated_rows(user[rows], item[rows], time[rows])
        drop = config.duplicates == "drop"
        rules.append(
            Rule(
                "rows equal in user, item and time",
                int(repeated.sum()),
                "dropped, the first kept" if drop else "kept",
            )
        )
        if drop:
            rows, _ = _keep(rows, ~repeated)
    if max(config.min_user_events, config.min_item_events) > 1:
        core = core_rows(user[rows], item[rows], config.min_user_events, config.min_item_events)
        lost_users = len(np.unique(user[rows])) - len(np.unique(user[rows[core]]))
        lost_items = len(np.unique(item[rows])) - len(np.unique(item[rows[core]]))
        rows, dropped = _keep(rows, core)
        need = f"{config.min_user_events} events a user, {config.min_item_events} an item"
        rules += [
            Rule("rows outside the k-core", dropped, f"dropped ({need})"),
            Rule("users outside the k-core", lost_users, "dropped"),
            Rule("items outside the k-core", lost_items, "kept in the catalog without events"),
        ]
    if not len(rows):
        found = "; ".join(f"{r.name}: {r.count}" for r in rules if r.count)
        raise GenretError(f"{sources[0].name}: no interactions are left ({found})")

    catalog, row_of = _catalog(listed.table if listed else None, seen, item_encoder)
    if catalog.num_items < 2:
        name = (item_sources or sources)[0].name
        raise GenretError(f"{name}: makes a catalog of 1 item, expected at least 2")
    order, ties = order_in_time(user[rows], None if time is None else time[rows])
    rows = rows[order]
    if time is None:
        rules.append(Rule("rows without times", len(rows), "kept in the order of the rows"))
    else:
        rules.append(Rule("ties in time of a user", ties, "kept in the order of the rows"))
    histories = _histories(
        user[rows], row_of[item[rows]], None if time is None else time[rows], user_encoder, config
    )
    check_leaks(histories)
    report = _report(sources + item_sources, catalog, histories, rules)
    return catalog, histories, report


def _read_events(
    sources: list[Source], columns: ColumnsConfig, users: IdEncoder, items: IdEncoder
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return the numbers of user and item (-1: none) and the time of every row of all files."""
    user_chunks: list[np.ndarray] = []
    item_chunks: list[np.ndarray] = []
    starts: list[int] = []
    rows = 0
    times = TimeColumn()
    time_columns = [find_column(s, "time", columns.time, needed=False) for s in sources]
    for source, time_column in zip(sources, time_columns, strict=True):
        if (time_column is None) != (time_columns[0] is None):
            raise GenretError(
                f"{source.name}: {'lacks' if time_column is None else 'has'} times, unlike "
                f"{sources[0].name}"
            )
        user_column = find_column(source, "user", columns.user, needed=True)
        item_column = find_column(source, "item", columns.item, needed=True)
        names = [c for c in (user_column, item_column, time_column) if c is not None]
        starts.append(rows)
        for chunk in _chunks(source, list(dict.fromkeys(names))):
            for encoder, name, chunks in (
                (users, user_column, user_chunks),
                (items, item_column, item_chunks),
            ):
                where = f"{source.name}: column {name!r}"
                ids = chunk[name].combine_chunks()
                chunks.append(encoder.encode(ids, untyped=source.untyped, where=where))
            if time_column is not None:
                where = f"{source.name}: column {time_column!r}"
                column = chunk[time_column].combine_chunks()
                times.add(column, where=where, first_row=rows - starts[-1])
            rows += chunk.num_rows
        if rows == starts[-1] and source.folder is None:
            raise GenretError(f"{source.name}: has a header but no rows, expected interactions")
    if not rows:
        raise GenretError(f"{sources[0].folder}: its files have no rows, expected interactions")
    user, item = np.concatenate(user_chunks), np.concatenate(item_chunks)
    if time_columns[0] is None:
        return user, item, None
    time = times.microseconds()
    absurd = absurd_rows(time)
    if len(absurd):
        at = int(np.searchsorted(starts, absurd[0], side="right")) - 1
        value = "before 1970 (negative)" if time[absurd[0]] < 0 else "in 2200 or later"
        if time[absurd[0]] == OTHER_UNIT:
            value = "in a smaller unit than most"
        raise GenretError(
            f"{sources[at].name}: column {time_columns[at]!r}: row {absurd[0] - starts[at] + 1}: "
            f"found a time {value}, expected seconds or milliseconds since 1970, one unit for the "
            f"whole column ({len(absurd)} such rows)"
        )
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


def _keep(rows: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, int]:
    kept = rows[keep]
    return kept, len(rows) - len(kept)


def _known_items(
    rows: np.ndarray, item: np.ndarray, known: int, encoder: IdEncoder, config: IngestConfig
) -> tuple[np.ndarray, Rule]:
    unknown = item[rows][item[rows] >= known]
    distinct = len(np.unique(unknown))
    if distinct and config.unknown_items == "error":
        raise GenretError(
            f"interactions: item {encoder.text_of(int(unknown[0]))!r} is not in the items files "
            f"({len(unknown)} rows of {distinct} unknown items)"
        )
    rows, dropped = _keep(rows, item[rows] < known)
    return rows, Rule(
        "rows of items not in the items files", dropped, f"dropped ({distinct} items)"
    )


def _catalog(
    table: pa.Table | None, seen: np.ndarray, encoder: IdEncoder
) -> tuple[Catalog, np.ndarray]:
    """Return the catalog, and the item row of each number of the encoder (-1: none)."""
    numbers = seen
    if table is None:
        table = items_by_id(encoder.ids(seen))
    else:
        numbers = np.arange(table.num_rows)
    order = hash_order(table["item_id"].to_pylist())
    row_of = np.full(len(encoder), -1, np.int32)
    row_of[numbers[order]] = np.arange(len(order), dtype=np.int32)
    return Catalog(table.take(pa.array(order)).combine_chunks()), row_of


def _histories(
    user: np.ndarray,
    item_rows: np.ndarray,
    time: np.ndarray | None,
    encoder: IdEncoder,
    config: IngestConfig,
) -> SplitHistories:
    """Cut the ordered events into users and split them."""
    starts = np.flatnonzero(np.diff(user, prepend=-1))
    offsets = np.append(starts, len(user)).astype(np.int64)
    events = Histories(offsets=offsets, items=item_rows, times=time)
    if config.split == "by-time":
        if time is None:
            raise GenretError("split by-time: the interactions have no times; use leave-one-out")
        split = by_time(events, config.valid_fraction, config.test_fraction)
    else:
        split = leave_one_out(events)
    return SplitHistories(
        user_ids=encoder.ids(user[starts]),
        events=events,
        train_end=split.train_end,
        valid_at=split.valid_at,
        test_at=split.test_at,
        split=config.split,
    )


def _report(
    sources: list[Source], catalog: Catalog, histories: SplitHistories, rules: list[Rule]
) -> IngestReport:
    lengths = histories.events.lengths
    if histories.split == "leave-one-out":
        rules += [
            Rule("users with one event", int((lengths == 1).sum()), "kept, for training only"),
            Rule("users with two events", int((lengths == 2).sum()), "kept, for training only"),
        ]
    else:
        new = int((histories.train_end == 0).sum())
        rules += [
            Rule("users with one event", int((lengths == 1).sum()), "kept"),
            Rule("users without training events", new, "kept, held out with what came before"),
        ]
    unused = catalog.num_items - len(np.unique(histories.events.items))
    rules.append(Rule("items without events", unused, "kept in the catalog"))
    return IngestReport(
        files=tuple(source.name for source in sources),
        users=histories.num_users,
        items=catalog.num_items,
        events=histories.events.num_events,
        valid=int((histories.valid_at >= 0).sum()),
        test=int((histories.test_at >= 0).sum()),
        rules=tuple(rules),
    )
