"""Sorts more events than fit into memory, with DuckDB, which spills to a folder.

DuckDB only sorts here. What is decided by looking at the events (duplicates, the k-core, splits)
is decided by the same code for every size, so that the results are the same bytes.
"""

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from genret.data._rules import Events
from genret.errors import GenretError

_BATCH_ROWS = 1 << 20


def sorted_on_disk(pieces: Iterable[Events], scratch: Path, memory_mib: int) -> Iterator[Events]:
    """Sort events by user, time and row.

    Args:
      pieces: the events, in the order of their rows.
      scratch: folder for what does not fit into memory.
      memory_mib: memory that the sort may take.

    Yields:
      The events in order, in pieces of whole users.

    Raises:
      GenretError: DuckDB is not installed, or the disk is full.
    """
    if importlib.util.find_spec("duckdb") is None:
        raise GenretError(
            "ingest: the interactions do not fit into memory, and DuckDB, which sorts them on "
            "disk, is not installed: pip install 'genret[large]', or raise --memory-gib"
        )
    import duckdb

    first = next(iterator := iter(pieces))
    timed = first.time is not None
    schema = _table(first).schema
    reader = pa.RecordBatchReader.from_batches(
        schema, (b for piece in _chain(first, iterator) for b in _table(piece).to_batches())
    )
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET preserve_insertion_order = false")
            connection.execute(f"SET memory_limit = '{memory_mib}MiB'")
            connection.execute("SET temp_directory = ?", [str(scratch / "sort")])
            connection.register("events", reader)
            # The row is a key of its own: without it equal times would come in any order.
            order = "user, time, row" if timed else "user, row"
            found = connection.sql(f"SELECT * FROM events ORDER BY {order}")
            batches: pa.RecordBatchReader = found.to_arrow_reader(_BATCH_ROWS)
            yield from _whole_users(batches)
    except (duckdb.Error, pa.ArrowException) as e:
        reason = " ".join(str(e).split())[:200]
        raise GenretError(f"{scratch}: sorting the interactions on disk failed: {reason}") from e


def _chain(first: Events, rest: Iterator[Events]) -> Iterator[Events]:
    yield first
    yield from rest


def _table(events: Events) -> pa.Table:
    columns = {"user": events.user, "item": events.item, "row": events.row}
    if events.time is not None:
        columns["time"] = events.time
    return pa.table(columns)


def _whole_users(batches: Iterable[pa.RecordBatch]) -> Iterator[Events]:
    """Cut ordered batches where a user ends."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        user = batch.column("user").to_numpy()
        starts = np.flatnonzero(np.diff(user)) + 1
        if len(starts) or (held and held[-1].column("user")[-1].as_py() != user[0]):
            cut = int(starts[-1]) if len(starts) else 0
            ended = [*held, batch.slice(0, cut)] if cut else held
            yield _events(ended)
            held = [batch.slice(cut)]
        else:
            held.append(batch)
    if held:
        yield _events(held)


def _events(batches: list[pa.RecordBatch]) -> Events:
    table = pa.Table.from_batches(batches)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    return Events(columns["user"], columns["item"], columns.get("time"), columns["row"])
