"""Ingestion: files of interactions and items become a catalog and histories.

The rules apply in this order, and each is counted in the report:

1. A row without a user, an item or a time (null or empty) is dropped. A row whose time cannot be
   used is refused, or dropped (``bad_times``).
2. A row whose item is not in the items files is dropped, or refused (``unknown_items``). Without
   items files the catalog is the items of the rows that are left.
3. A row equal to an earlier one in user, item and time is dropped, or kept (``duplicates``).
   Without times every row is an event of its own.
4. Iterative k-core (``min_user_events``, ``min_item_events``).
5. The events of a user are ordered by time, ties and histories without times by row.
6. The split (``split``). Users too short to hold anything out are for training only.

Files are streamed. Memory grows with the distinct ids and with about 70 bytes a row; where that
exceeds ``memory_gib``, rows wait on disk and DuckDB sorts them there, with the same result.
"""

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from genret.config import ColumnsConfig, IngestConfig
from genret.data._catalog import Catalog, hash_order
from genret.data._clean import Cleaner
from genret.data._events import EventLog, EventStore, read_events
from genret.data._external_sort import sorted_on_disk
from genret.data._histories import SplitHistories
from genret.data._ids import IdEncoder
from genret.data._items import Items, items_by_id, read_items
from genret.data._memory import sizes
from genret.data._rejected import Rejected
from genret.data._report import IngestReport, Rule, SourceReport
from genret.data._rules import Events, core_rows, repeated_events, sorted_in_memory, ties
from genret.data._source import Source
from genret.data._sources import open_sources
from genret.data._splits import by_time, leave_one_out
from genret.errors import GenretError
from genret.histories import Histories
from genret.typing import Int, PathLike


def ingest(
    interactions: Any,
    items: Any = None,
    *,
    columns: ColumnsConfig | None = None,
    config: IngestConfig | None = None,
    scratch: PathLike | None = None,
) -> tuple[Catalog, SplitHistories, IngestReport]:
    """Read interactions and items into a catalog and histories.

    Args:
      interactions: paths of files, tables (anything with ``__arrow_c_stream__``), or a sequence
        of these.
      items: likewise; None makes the catalog of the items seen, with ids as titles.
      columns: which columns mean what.
      config: the rules.
      scratch: an existing folder for what does not fit into memory; None takes the system's
        folder of temporary files. What is put there is removed again.

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
    limit = config.document_mib
    sources = open_sources(interactions, "interactions", layout=columns.format, document_mib=limit)
    item_sources = [] if items is None else open_sources(items, "items", document_mib=limit)
    try:
        with tempfile.TemporaryDirectory(
            prefix=".catalog.", suffix=".partial", dir=scratch
        ) as folder:
            return _ingest(sources, item_sources, columns, config, Path(folder))
    except OSError as e:
        raise GenretError(f"{scratch or tempfile.gettempdir()}: {e.strerror or e}") from e


def _ingest(
    sources: list[Source],
    item_sources: list[Source],
    columns: ColumnsConfig,
    config: IngestConfig,
    scratch: Path,
) -> tuple[Catalog, SplitHistories, IngestReport]:
    item_encoder, user_encoder = IdEncoder(), IdEncoder()
    rules = [Rule(*note) for source in sources + item_sources for note in source.notes]
    listed, rejected_items = None, Rejected(item_sources)
    if item_sources:
        listed = read_items(item_sources, columns, item_encoder, rejected_items)
        rules += [
            Rule("item rows read", listed.rows, f"from {len(item_sources)} file(s)"),
            Rule("item rows without an id", listed.without_id, "dropped"),
            Rule("item rows with an id seen before", listed.repeated, "dropped, the first kept"),
            Rule("items without a title", listed.without_title, "shown by their id"),
        ]
    known = len(item_encoder) if listed else None
    most_rows, sort_mib = sizes(config.memory_gib)
    rejected, store = Rejected(sources), EventStore(most_rows, scratch)
    log = read_events(sources, columns, user_encoder, item_encoder, store, rejected)
    pa.default_memory_pool().release_unused()  # the readers' blocks, before the sort needs room
    cleaner = Cleaner(log, item_encoder, known, config, rejected)
    on_disk = store.on_disk
    pieces = (
        sorted_on_disk(cleaner.pieces(), scratch, sort_mib)
        if on_disk
        else iter([sorted_in_memory(cleaner.pieces(), store.rows)])
    )
    events, repeated = _without_repeats(pieces, store.rows, config, rejected)
    rules += cleaner.rules()
    if log.times is not None:
        action = "dropped, the first kept" if config.duplicates == "drop" else "kept"
        rules.append(Rule("rows equal in user, item and time", repeated, action))
    if max(config.min_user_events, config.min_item_events) > 1:
        events = _core(events, config, rules)
    if not len(events.user):
        raise GenretError(f"{sources[0].name}: no interactions are left ({_found(rules)})")
    seen = cleaner.used_items()
    catalog, row_of = _catalog(listed.table if listed else None, seen, item_encoder)
    if catalog.num_items < 2:
        name = (item_sources or sources)[0].name
        raise GenretError(
            f"{name}: makes a catalog of 1 item, expected at least 2 ({_found(rules)})"
        )
    if log.times is None:
        rules.append(Rule("rows without times", len(events.user), "kept in the order of the rows"))
    else:
        tied = int(ties(events).sum())
        rules.append(Rule("ties in time of a user", tied, "kept in the order of the rows"))
    histories = _histories(events, row_of, user_encoder, config)
    histories.check_leaks()
    rejected_rows = pa.concat_tables([rejected_items.table(), rejected.table()])
    report = _report(sources, item_sources, catalog, histories, rules, log, listed)
    return catalog, histories, dataclasses.replace(report, rejected=rejected_rows, on_disk=on_disk)


def _without_repeats(
    pieces: Iterator[Events], rows: int, config: IngestConfig, rejected: Rejected
) -> tuple[Events, int]:
    """Put ordered pieces together, without repeated events where the rules drop them."""
    user, item = np.empty(rows, np.int32), np.empty(rows, np.int32)
    time: np.ndarray | None = None
    count = repeats = 0
    repeated_rows = []
    for piece in pieces:
        keep: Any = slice(None)
        end = count + len(piece.user)
        if piece.time is not None:
            repeated = repeated_events(piece)
            repeats += int(repeated.sum())
            if config.duplicates == "drop" and piece.row is not None and repeated.any():
                repeated_rows.append(piece.row[repeated])
                keep = ~repeated
                end -= int(repeated.sum())
            if time is None:
                time = np.empty(rows, np.int64)
            time[count:end] = piece.time[keep]
        user[count:end], item[count:end] = piece.user[keep], piece.item[keep]
        count = end
    if repeated_rows:
        rejected.add("equals an earlier row", np.sort(np.concatenate(repeated_rows)))
    if time is not None:
        time = time[:count]
    return Events(user[:count], item[:count], time), repeats


def _core(events: Events, config: IngestConfig, rules: list[Rule]) -> Events:
    user, item = events.user, events.item
    core = core_rows(user, item, config.min_user_events, config.min_item_events)
    lost = [len(np.unique(ids)) - len(np.unique(ids[core])) for ids in (user, item)]
    need = f"{config.min_user_events} events a user, {config.min_item_events} an item"
    rules += [
        Rule("rows outside the k-core", len(user) - int(core.sum()), f"dropped ({need})"),
        Rule("users outside the k-core", lost[0], "dropped"),
        Rule("items outside the k-core", lost[1], "kept in the catalog without events"),
    ]
    time = None if events.time is None else events.time[core]
    return Events(user[core], item[core], time)


def _found(rules: list[Rule]) -> str:
    """Return the rules that applied, for a message."""
    hints = [f"{r.name}: {r.count}" + _hint(r) for r in rules if r.count]
    return "; ".join(hints)


def _hint(rule: Rule) -> str:
    _, colon, hint = rule.action.rpartition("items: ")
    return f" ({hint}" if colon else ""


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
    events: Events, row_of: Int[np.ndarray, "N"], encoder: IdEncoder, config: IngestConfig
) -> SplitHistories:
    """Cut the ordered events into users and split them."""
    starts = np.flatnonzero(np.diff(events.user, prepend=-1))
    offsets = np.append(starts, len(events.user)).astype(np.int64)
    histories = Histories(offsets=offsets, items=row_of[events.item], times=events.time)
    if config.split == "by-time":
        if events.time is None:
            raise GenretError("split by-time: the interactions have no times; use leave-one-out")
        split = by_time(histories, config.valid_fraction, config.test_fraction)
    else:
        split = leave_one_out(histories)
    return SplitHistories(
        user_ids=encoder.ids(events.user[starts]),
        events=histories,
        train_end=split.train_end,
        valid_at=split.valid_at,
        test_at=split.test_at,
        split=config.split,
    )


def _report(
    sources: list[Source],
    item_sources: list[Source],
    catalog: Catalog,
    histories: SplitHistories,
    rules: list[Rule],
    log: EventLog,
    listed: Items | None,
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
    read = [
        SourceReport(source.name, source.format, roles | {"time": _time(log, roles["time"])})
        for source, roles in zip(sources, log.roles, strict=True)
    ]
    if listed:
        read += [
            SourceReport(source.name, source.format, roles)
            for source, roles in zip(item_sources, listed.roles, strict=True)
        ]
    times = histories.events.times
    return IngestReport(
        files=tuple(source.name for source in sources + item_sources),
        users=histories.num_users,
        items=catalog.num_items,
        events=histories.events.num_events,
        valid=int((histories.valid_at >= 0).sum()),
        test=int((histories.test_at >= 0).sum()),
        rules=tuple(rules),
        sources=tuple(read),
        kinds=listed.kinds if listed else {},
        first_time=None if times is None else int(times.min()),
        last_time=None if times is None else int(times.max()),
    )


def _time(log: EventLog, name: str) -> str:
    return f"{name} ({log.times.kind})" if name and log.times is not None else ""
