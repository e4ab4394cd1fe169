"""Ingest of a large log: seconds, events per second and the most memory, per format.

    python -m benchmarks.ingest --json benchmarks/results/ingest.json

The log is written by pyarrow in pieces, with skewed items. The verb ``genret ingest`` is run on each
format in a process of its own, from the file to the run folder; the highest resident memory of that
process stands beside that of one which only loads the modules. What the run folder holds is
checked against counts and a checksum that NumPy took while the log was written.
"""

import dataclasses
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.bars import over
from benchmarks.process import Figures, watched
from benchmarks.program import Program, make_main
from benchmarks.record import Points
from benchmarks.tables import Columns
from genret.data import Catalog, SplitHistories, load_run_data
from genret.errors import GenretError

WRITERS = {"parquet": pq.ParquetWriter, "csv": pa.csv.CSVWriter}
PIECE = 500_000
"""Interactions that are drawn and written at a time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ingest(Program):
    """Measure ingest; see the module's docstring."""

    small: ClassVar = {"events": 20_000, "users": 3_000, "items": 500}
    name: ClassVar[str] = "benchmarks.ingest"
    title: ClassVar[str] = "Ingest"
    bars: ClassVar = [
        over("1e7: peak GiB", "10,000,000 ", "peak_gib", max, 1.1, at_most=True),
        over("1e8: peak GiB", "100,000,000 ", "peak_gib", max, 4.5, at_most=True),
        over("1e8: seconds", "100,000,000 ", "seconds", max, 600.0, at_most=True),
    ]
    columns: ClassVar[Columns] = {
        "file MiB": ("file_mib", "{:.0f}"),
        "seconds": ("seconds", "{:.1f}"),
        "events/s": ("events_per_second", "{:,.0f}"),
        "peak GiB": ("peak_gib", "{:.2f}"),
        "imports alone GiB": ("imports_gib", "{:.2f}"),
    }

    events: int = 10_000_000  # Interactions.
    users: int = 1_000_000  # Users.
    items: int = 100_000  # Items.

    def points(self) -> Points:
        """Ingest the log in each format."""
        sizes = self.events, self.users, self.items
        return {
            f"{self.events:,} interactions, {form}": partial(measure, form, *sizes)
            for form in ("parquet", "csv")
        }


def measure(form: str, events: int, users: int, items: int) -> Figures:
    """Write the log in a format and ingest it; refuse a run folder that does not hold the log."""
    with tempfile.TemporaryDirectory() as scratch:
        path, run = Path(scratch, f"log.{form}"), Path(scratch, "run")
        expected = write_log(path, events, users, items)
        _, imports = watched("-c", "import genret.cli.main, genret.pipeline")
        _, cost = watched("-m", "genret", "ingest", run, "--interactions", path)
        found = answer(*load_run_data(run))
        if found != expected:
            raise GenretError(f"{form}: found {found}, expected {expected}")
        return {
            "imports_gib": imports["resident_gib"], "seconds": cost["wall_s"],
            "peak_gib": cost["resident_gib"], "found": found,
            "events_per_second": events / cost["wall_s"], "file_mib": path.stat().st_size / 2**20,
        }  # fmt: skip


def write_log(
    path: Path, events: int, users: int, items: int, piece: int = PIECE
) -> dict[str, int]:
    """Write a log, by the file's ending as Parquet or CSV; return what NumPy finds in it (see :func:`answer`)."""
    rng = np.random.default_rng(0)
    per_user, per_item, checksum = np.zeros(users, np.int64), np.zeros(items, np.int64), 0
    columns = [("user_id", pa.int64()), ("item_id", pa.string()), ("timestamp", pa.int64())]
    schema = pa.schema(columns)
    make: Any = WRITERS[path.suffix[1:]]
    with make(path, schema) as writer:
        for start in range(0, events, piece):
            count = min(piece, events - start)
            user = rng.integers(users, size=count)
            # As skewed as real logs: an item's share falls about as 1 / rank.
            item = (items ** rng.random(count)).astype(np.int64) - 1
            # Times differ, so no two rows are equal; in pieces they fall, so rows must be sorted.
            times = 1_600_000_000 + start + np.arange(count)[::-1]
            per_user += np.bincount(user, minlength=users)
            per_item += np.bincount(item, minlength=items)
            checksum = (checksum + _checksum(user, item, times)) % 2**64
            names = pc.binary_join_element_wise("item-", pa.array(item).cast("string"), "")
            writer.write_table(pa.table([pa.array(user), names, pa.array(times)], schema=schema))
    return _summary(per_user, per_item, checksum)


def answer(catalog: Catalog, histories: SplitHistories) -> dict[str, int]:
    """Return what an ingested log holds: counts, and a checksum of who took what when."""
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


main = make_main(Ingest)

if __name__ == "__main__":
    sys.exit(main())
