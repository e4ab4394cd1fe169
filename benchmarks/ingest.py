"""Ingest of a large log: seconds, events per second and the most memory, per format.

The log is written by pyarrow in pieces, with skewed items. Each format is ingested in a process of
its own, whose highest resident memory is read from the operating system; that of a process which only
imports the same modules stands beside it. Counts are checked against NumPy's.
"""

import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks._common import environment, write_json
from genret.config import IngestConfig
from genret.data import ingest
from genret.errors import GenretError

MEMORY_BAR = 2.0
"""GiB: what 1e7 interactions should stay within."""
_PIECE = 500_000

Format = Literal["parquet", "csv"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Measure ingest; see the module's docstring."""

    events: int = 10_000_000
    """Interactions."""
    users: int = 1_000_000
    """Users."""
    items: int = 100_000
    """Items."""
    formats: tuple[Format, ...] = ("parquet", "csv")
    """Formats."""
    out: Path | None = None
    """Where to write the figures as JSON."""
    smoke: bool = False
    """20,000 interactions: shows that it works."""
    child: Path | None = None
    """Used by the program itself: ingest this file and print the figures."""


def write_log(folder: Path, options: Options) -> dict[str, int]:
    """Write the log in every format; return its counts, found by NumPy."""
    rng = np.random.default_rng(0)
    seen_users = np.zeros(options.users, bool)
    seen_items = np.zeros(options.items, bool)
    schema = pa.schema(
        [("user_id", pa.int64()), ("item_id", pa.string()), ("timestamp", pa.int64())]
    )
    writers: list[Any] = []
    if "parquet" in options.formats:
        writers.append(pq.ParquetWriter(folder / "log.parquet", schema))
    if "csv" in options.formats:
        writers.append(pa.csv.CSVWriter(folder / "log.csv", schema))
    for start in range(0, options.events, _PIECE):
        count = min(_PIECE, options.events - start)
        users = rng.integers(options.users, size=count)
        # As skewed as real logs: an item's share falls about as 1 / rank.
        items = (options.items ** rng.random(count)).astype(np.int64) - 1
        seen_users[users] = True
        seen_items[items] = True
        # Times rise by one: no two rows are equal.
        times = 1_600_000_000 + start + np.arange(count)
        names = pa.compute.binary_join_element_wise("item-", pa.array(items).cast("string"), "")
        table = pa.table([pa.array(users), names, pa.array(times)], schema=schema)
        for writer in writers:
            writer.write_table(table)
    for writer in writers:
        writer.close()
    return {
        "events": options.events,
        "users": int(seen_users.sum()),
        "items": int(seen_items.sum()),
    }


def ingest_one(path: Path) -> dict[str, Any]:
    """Ingest a file in this process; return counts, seconds and memory in GiB."""
    floor = _peak_gib()
    start = time.perf_counter()
    catalog, histories, _ = ingest((path,), None, config=IngestConfig())
    seconds = time.perf_counter() - start
    return {
        "counts": {
            "events": len(histories.items),
            "users": histories.num_users,
            "items": catalog.num_items,
        },
        "seconds": seconds,
        "events_per_second": len(histories.items) / seconds,
        "peak_gib": _peak_gib(),
        "imports_gib": floor,
    }


def measure(options: Options) -> dict[str, Any]:
    """Write the log, ingest it in each format; return the figures as JSON values.

    Raises:
      GenretError: a format whose counts are not those of the log, or that failed.
    """
    formats = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        counts = write_log(folder, options)
        for name in options.formats:
            path = folder / f"log.{name}"
            command = [sys.executable, "-m", "benchmarks.ingest", "--child", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise GenretError(f"{name}: the ingest failed: {done.stderr.strip()[-300:]}")
            formats[name] = json.loads(done.stdout) | {"file_mib": path.stat().st_size / 2**20}
            check(name, formats[name]["counts"], counts)
    return {
        "program": "benchmarks.ingest",
        "options": {name: getattr(options, name) for name in ("events", "users", "items")},
        "environment": environment(),
        "formats": formats,
    }


def check(name: str, found: dict[str, int], expected: dict[str, int]) -> None:
    """Refuse figures of an ingest that lost or made up something."""
    if found != expected:
        raise GenretError(f"{name}: found {found}, expected {expected}")


def _peak_gib() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    options = tyro.cli(Options, args=argv, prog="python -m benchmarks.ingest")
    if options.child is not None:
        print(json.dumps(ingest_one(options.child)))
        return 0
    if options.smoke:
        options = dataclasses.replace(options, events=20_000, users=3_000, items=500)
    try:
        document = measure(options)
    except GenretError as e:
        print(f"benchmarks.ingest: error: {e}", file=sys.stderr)
        return 2
    table = Table(title=f"Ingest of {options.events:,} interactions", title_justify="left")
    for column in ("format", "file MiB", "seconds", "events/s", "peak GiB", "imports alone GiB"):
        table.add_column(column, justify="left" if column == "format" else "right")
    for name, f in document["formats"].items():
        table.add_row(
            name, f"{f['file_mib']:.0f}", f"{f['seconds']:.1f}", f"{f['events_per_second']:,.0f}",
            f"{f['peak_gib']:.2f}", f"{f['imports_gib']:.2f}",
        )  # fmt: skip
    console = Console(highlight=False)
    console.print(table)
    console.print(f"bar: {MEMORY_BAR} GiB for 10,000,000 interactions")
    if options.out is not None:
        write_json(options.out, document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
