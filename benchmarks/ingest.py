"""Ingest of a large log: seconds, events per second and the most memory, per format.

The log is written by pyarrow in pieces, with skewed items. The verb ``genret ingest`` is run on each
format in a process of its own, from the file to the run folder; the highest resident memory of that
process stands beside what it had when only its modules were loaded. What the run folder holds is
checked against counts and a checksum that NumPy took while the log was written.

Bars: 10⁷ interactions take at most 1.1 GiB; 10⁸ take at most 4.5 GiB and 10 minutes.
"""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from rich.console import Console

from benchmarks.bars import Bar, at_most, verdicts
from benchmarks.program import Table, finish, make_main
from benchmarks.record import ROOT, environment, peak_gib
from genret.cli.base import Reporter
from genret.cli.ingest import Ingest
from genret.config import IngestConfig, SourceConfig
from genret.data import Catalog, SplitHistories, load_run_data
from genret.errors import GenretError

LIMITS = {10**7: {"peak_gib": 1.1}, 10**8: {"peak_gib": 4.5, "seconds": 600.0}}
"""What each format may need for so many interactions."""
_PIECE = 500_000
_ALL_IN_MEMORY, _NONE_IN_MEMORY = 64.0, 1e-6

Format = Literal["parquet", "csv"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Measure ingest; see the module's docstring."""

    events: int = 10_000_000  # Interactions.
    users: int = 1_000_000  # Users.
    items: int = 100_000  # Items.
    formats: tuple[Format, ...] = ("parquet", "csv")  # Formats.
    out: Path | None = None  # Where to write the figures as JSON.
    smoke: bool = False  # 20,000 interactions: shows that it works.
    memory_gib: float = 0.0
    """Memory for the rows (``genret ingest --memory-gib``); 0: what the verb takes by itself."""
    check_both: bool = False
    """Ingest each file in memory and by the sort on disk as well; both must give the same bytes."""
    child: tuple[Path, Path] | None = None
    """Used by the program itself: ingest a file into a run folder and print the figures."""


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
    for start in range(0, options.events, _PIECE):
        count = min(_PIECE, options.events - start)
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


def ingest_one(path: Path, run_folder: Path, memory_gib: float) -> dict[str, Any]:
    """Run the verb in this process; return what it wrote, seconds and memory in GiB."""
    import genret.data  # noqa: F401  the verb loads it when it runs; here it belongs to the floor

    reporter, rules = Reporter(as_json=True), IngestConfig(memory_gib=memory_gib)
    floor, start = peak_gib(), time.perf_counter()
    source = SourceConfig(interactions=(path,))
    Ingest(run_folder=run_folder, source=source, rules=rules).run(reporter)
    figures = {"seconds": time.perf_counter() - start, "peak_gib": peak_gib()}
    found = answer(*load_run_data(run_folder))
    speed = found["events"] / figures["seconds"]
    return {"found": found, **figures, "events_per_second": speed, "imports_gib": floor}


def measure(options: Options) -> dict[str, Any]:
    """Write the log, ingest it in each format; return the figures as JSON values.

    Raises:
      GenretError: a format whose answer is not that of the log, or that failed.
    """
    sizes = {name: getattr(options, name) for name in ("events", "users", "items")}
    document: dict[str, Any] = {
        "program": "benchmarks.ingest", "options": sizes, "environment": environment(),
        "formats": {},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        expected = write_log(folder, options)
        for name in options.formats:
            path = folder / f"log.{name}"
            figures = run_child(path, folder / name, options.memory_gib)
            document["formats"][name] = figures | {"file_mib": path.stat().st_size / 2**20}
            check(name, figures["found"], expected)
            if options.check_both:
                check_both(path, folder)
    return document | {"bars": verdicts(document, bars(document))}


def bars(document: dict[str, Any]) -> list[Bar]:
    """Return what a run with so many interactions is asked for."""
    limits = LIMITS.get(document["options"]["events"], {})
    titles = {"peak_gib": "peak GiB", "seconds": "seconds"}
    return [
        at_most(f"{name}: {titles[figure]}", lambda d, n=name, f=figure: d["formats"][n][f], limit)
        for name in document["formats"]
        for figure, limit in limits.items()
    ]


def run_child(path: Path, run_folder: Path, memory_gib: float) -> dict[str, Any]:
    """Ingest in a process of its own; return its figures."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--child", str(path), str(run_folder)]
    command += ["--memory-gib", str(memory_gib)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GenretError(f"{path.name}: the ingest failed: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def check_both(path: Path, folder: Path) -> None:
    """Ingest a file in memory and by the sort on disk; refuse arrays that differ in a byte."""
    digests = []
    for gib in (_ALL_IN_MEMORY, _NONE_IN_MEMORY):
        run_folder = folder / f"both-{gib}"
        run_child(path, run_folder, gib)
        digests.append(
            {
                str(file.relative_to(run_folder)): hashlib.sha256(file.read_bytes()).hexdigest()
                for file in sorted(run_folder.rglob("*"))
                if file.suffix in (".parquet", ".safetensors", ".npz", ".npy", ".arrow")
            }
        )
        shutil.rmtree(run_folder)
    if not digests[0] or digests[0] != digests[1]:
        other = sorted(set(digests[0].items()) ^ set(digests[1].items()))
        raise GenretError(f"{path.name}: in memory and on disk differ: {other[:4] or 'no files'}")


def check(name: str, found: dict[str, int], expected: dict[str, int]) -> None:
    """Refuse figures of an ingest that lost or made up something."""
    if found != expected:
        raise GenretError(f"{name}: found {found}, expected {expected}")


def run(options: Options, console: Console) -> None:
    """Measure and show."""
    if options.child is not None:
        print(json.dumps(ingest_one(*options.child, options.memory_gib)))
        return
    if options.smoke:
        options = dataclasses.replace(options, events=20_000, users=3_000, items=500)
    document = measure(options)
    columns = ("format", "file MiB", "seconds", "events/s", "peak GiB", "imports alone GiB")
    rows = [
        (name, f"{f['file_mib']:.0f}", f"{f['seconds']:.1f}", f"{f['events_per_second']:,.0f}",
         f"{f['peak_gib']:.2f}", f"{f['imports_gib']:.2f}")
        for name, f in document["formats"].items()
    ]  # fmt: skip
    Table(f"Ingest of {options.events:,} interactions", columns, rows).show(console)
    finish(document, options.out, console)


main = make_main("benchmarks.ingest", Options, run)

if __name__ == "__main__":
    sys.exit(main())
