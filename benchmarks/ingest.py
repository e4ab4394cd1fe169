"""Ingest of a large log: seconds, events per second and the most memory, per format.

The log is written by pyarrow in pieces, with skewed items. The verb ``genret ingest`` is run on each
format in a process of its own, from the file to the run folder; the highest resident memory of that
process stands beside what it had when only its modules were loaded. What the run folder holds is
checked against counts and a checksum that NumPy took while the log was written.

Bars: 10⁷ interactions take at most 1.1 GiB; 10⁸ take at most 4.5 GiB and 10 minutes.
"""

import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from rich.console import Console

from benchmarks.bars import Bar, at_most
from benchmarks.process import Figures, in_own_process, peak_gib, timed, verb
from benchmarks.program import Table, finish, make_main
from benchmarks.record import environment
from genret.data import Catalog, SplitHistories, load_run_data
from genret.errors import GenretError

LIMITS = {10**7: {"peak_gib": 1.1}, 10**8: {"peak_gib": 4.5, "seconds": 600.0}}
"""What each format may need for so many interactions."""
COLUMNS = {
    "file MiB": ("file_mib", "{:.0f}"),
    "seconds": ("seconds", "{:.1f}"),
    "events/s": ("events_per_second", "{:,.0f}"),
    "peak GiB": ("peak_gib", "{:.2f}"),
    "imports alone GiB": ("imports_gib", "{:.2f}"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Measure ingest; see the module's docstring."""

    events: int = 10_000_000  # Interactions.
    users: int = 1_000_000  # Users.
    items: int = 100_000  # Items.
    formats: tuple[Literal["parquet", "csv"], ...] = ("parquet", "csv")  # Formats.
    piece: int = 500_000  # Interactions that are drawn and written at a time.
    out: Path | None = None  # Where to write the figures as JSON.
    smoke: bool = False  # 20,000 interactions: shows that it works.
    memory_gib: float = 0.0
    """Memory for the rows (``genret ingest --memory-gib``); 0: what the verb takes by itself."""

    def main(self, console: Console) -> None:
        """Measure and show."""
        asked = self
        if self.smoke:
            asked = dataclasses.replace(self, events=20_000, users=3_000, items=500)
        document = measure(asked)
        title = f"Ingest of {asked.events:,} interactions"
        table = Table.of(title, COLUMNS, document["formats"], "format")
        finish(document, bars(document), self.out, console, table)


def measure(options: Options) -> Figures:
    """Write the log, ingest it in each format; return the figures as JSON values.

    Raises:
      GenretError: a format whose answer is not that of the log, or that failed.
    """
    document: Figures = {
        "program": "benchmarks.ingest",
        "options": {name: getattr(options, name) for name in ("events", "users", "items")},
        "environment": environment(),
        "formats": {},
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        expected = write_log(folder, options)
        for name in options.formats:
            path = folder / f"log.{name}"
            figures = in_own_process(ingest_one, path, folder / name, options.memory_gib)
            document["formats"][name] = figures | {"file_mib": path.stat().st_size / 2**20}
            check(name, figures["found"], expected)
    return document


def ingest_one(path: Path, run_folder: Path, memory_gib: float) -> Figures:
    """Run the verb in this process; return what it wrote, seconds and memory in GiB."""
    import genret.cli.main  # noqa: F401  the verb loads it when it runs; here it belongs to the floor

    figures: Figures = {"imports_gib": peak_gib()}
    with timed(figures, "seconds"):
        verb("ingest", run_folder, "--interactions", path, "--memory-gib", memory_gib)
    figures |= {"peak_gib": peak_gib(), "found": answer(*load_run_data(run_folder))}
    return figures | {"events_per_second": figures["found"]["events"] / figures["seconds"]}


def bars(document: Figures) -> list[Bar]:
    """Return what a run with so many interactions is asked for."""
    limits = LIMITS.get(document["options"]["events"], {})
    titles = {"peak_gib": "peak GiB", "seconds": "seconds"}
    return [
        at_most(f"{name}: {titles[figure]}", lambda d, n=name, f=figure: d["formats"][n][f], limit)
        for name in document["formats"]
        for figure, limit in limits.items()
    ]


def write_log(folder: Path, options: Options) -> dict[str, int]:
    """Write the log in every format; return what NumPy finds in it (see :func:`answer`)."""
    rng = np.random.default_rng(0)
    per_user = np.zeros(options.users, np.int64)
    per_item = np.zeros(options.items, np.int64)
    checksum = 0
    columns = [("user_id", pa.int64()), ("item_id", pa.string()), ("timestamp", pa.int64())]
    schema = pa.schema(columns)
    make = {"parquet": pq.ParquetWriter, "csv": pa.csv.CSVWriter}
    writers: list[Any] = [make[name](folder / f"log.{name}", schema) for name in options.formats]
    for start in range(0, options.events, options.piece):
        count = min(options.piece, options.events - start)
        users = rng.integers(options.users, size=count)
        # As skewed as real logs: an item's share falls about as 1 / rank.
        items = (options.items ** rng.random(count)).astype(np.int64) - 1
        # Times differ, so no two rows are equal; in pieces they fall, so rows must be sorted.
        times = 1_600_000_000 + start + np.arange(count)[::-1]
        per_user += np.bincount(users, minlength=options.users)
        per_item += np.bincount(items, minlength=options.items)
        checksum = (checksum + _checksum(users, items, times)) % 2**64
        names = pc.binary_join_element_wise("item-", pa.array(items).cast("string"), "")
        table = pa.table([pa.array(users), names, pa.array(times)], schema=schema)
        for writer in writers:
            writer.write_table(table)
    for writer in writers:
        writer.close()
    return _summary(per_user, per_item, checksum)


def answer(catalog: Catalog, histories: SplitHistories) -> dict[str, int]:
    """Return what an ingested log holds: counts, and a checksum of who took what when.

    Raises:
      GenretError: a history that is not in the order of time, or without times.
    """
    events, lengths = histories.events, histories.events.lengths
    users = np.repeat(histories.user_ids.to_numpy(zero_copy_only=False), lengths)
    names = pa.array(catalog.item_ids, pa.string())
    number = pc.utf8_slice_codeunits(names, len("item-")).cast(pa.int64()).to_numpy()
    if events.times is None:
        raise GenretError("histories: found no times, expected those of the log")
    if not ((np.diff(events.times) >= 0) | (np.diff(users) != 0)).all():
        raise GenretError("histories: found one that is not in the order of time")
    per_item = np.bincount(events.items, minlength=catalog.num_items)
    checksum = _checksum(users, number[events.items], events.times // 1_000_000)
    return _summary(lengths, per_item, checksum)


def _summary(per_user: np.ndarray, per_item: np.ndarray, checksum: int) -> dict[str, int]:
    return {
        "events": int(per_user.sum()),
        "users": int(np.count_nonzero(per_user)),
        "items": int(np.count_nonzero(per_item)),
        "longest_history": int(per_user.max()),
        "most_of_an_item": int(per_item.max()),
        "checksum": checksum,
    }


def _checksum(users: np.ndarray, items: np.ndarray, times: np.ndarray) -> int:
    # A sum over rows modulo 2^64: their order is free, what stands in one row is not.
    row = (users + 1).astype(np.uint64) * (items + 1).astype(np.uint64)
    return int(np.sum(row * times.astype(np.uint64), dtype=np.uint64))


def check(name: str, found: dict[str, int], expected: dict[str, int]) -> None:
    """Refuse figures of an ingest that lost or made up something."""
    if found != expected:
        raise GenretError(f"{name}: found {found}, expected {expected}")


main = make_main("benchmarks.ingest", Options)

if __name__ == "__main__":
    sys.exit(main())
