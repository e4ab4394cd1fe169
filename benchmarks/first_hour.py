"""What a new user waits for: from files to a first recommendation, and small commands from a cold start.

    python -m benchmarks.first_hour --json benchmarks/results/first_hour.json

An invented shop (items with titles, categories, prices and stock; purchases with ISO times) is written
as CSV and as Parquet. Every command is a process of its own, as in a terminal. "First" means that the
folder of kept programs is empty, so everything is compiled; "again" is the same command once more.
"""

import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from benchmarks.bars import over
from benchmarks.process import Figures, watched
from benchmarks.program import Program, make_main
from benchmarks.record import Points
from benchmarks.tables import Columns, Table
from genret.data import synthetic_tables

TONIGHT = 30
"""Items that are added."""
FORMS = ("csv", "parquet")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstHour(Program):
    """Measure the commands of a first hour; see the module's docstring."""

    small: ClassVar = {"users": 200, "items": 100, "repeats": 1}
    name: ClassVar[str] = "benchmarks.first_hour"
    title: ClassVar[str] = "A first hour"
    bars: ClassVar = [
        *(
            over(f"two commands from {f}, s", "", f"two_commands_{f}_s", max, 180.0, at_most=True)
            for f in FORMS
        ),
        over("recommend, first, s", "", "recommend_s", max, 6.0, at_most=True),
    ]
    columns: ClassVar[Columns] = {
        "wall, s": ("wall_s", "{:.1f}"),
        "CPU, s": ("cpu_s", "{:.1f}"),
        "wall again, s": ("again_wall_s", "{:.1f}"),
        "CPU again, s": ("again_cpu_s", "{:.1f}"),
    }

    users: int = 5000  # Users of the shop.
    items: int = 3000  # Items of the shop.
    repeats: int = 3  # Times that a small command is repeated; medians are shown.

    def points(self) -> Points:
        """Run all commands on one shop, one after the other."""
        return {f"{self.users:,} users, {self.items:,} items": partial(measure, self)}

    def tables(self, document: Figures) -> list[Table]:
        """Return a row for each command."""
        (point,) = document["points"].values()
        return [Table.of(self.title, self.columns, point.get("commands", {}), "command")]


def measure(asked: FirstHour) -> Figures:
    """Run all commands on one shop; return the figures of each, and those of the bars."""
    with tempfile.TemporaryDirectory() as scratch:
        found = commands(Path(scratch), asked)
    walls = {name: own["wall_s"] for name, own in found.items()}
    both = {f: walls[f"quickstart, {f}"] + walls[f"recommend after it, {f}"] for f in FORMS}
    figures = {f"two_commands_{f}_s": seconds for f, seconds in both.items()}
    return {"commands": found, **figures, "recommend_s": walls["recommend"]}


def commands(folder: Path, asked: FirstHour) -> dict[str, Figures]:
    """Run each command, with no kept programs and then again."""
    title = write_shop(folder, asked.users, asked.items)
    history = ("--history", title, "SKU-10")
    filtered = ("recommend", "csv", *history, "--where", "in_stock")
    fifty = ("score", "csv", "--histories", "fifty.csv", "--user", "customer", "--k", "10",
             "--exclude-seen", "--out")  # fmt: skip
    found: dict[str, Figures] = {}
    for form in FORMS:
        files = ("--interactions", f"log.{form}", "--items", f"items.{form}")
        kept = folder / f"new-{form}"
        found[f"quickstart, {form}"] = run(folder, kept, "quickstart", form, *files)
        found[f"recommend after it, {form}"] = run(folder, kept, "recommend", form, *history)
    small = {"recommend": ("recommend", "csv", *history), "recommend with a filter": filtered}
    for name, words in (small | {"score 50 users": fifty}).items():
        found[name] = twice(folder, folder / name, words, asked.repeats)
    run(folder, folder / "changes", "add-items", "csv", "--items", "tonight.csv")
    live = twice(folder, folder / "live", filtered, asked.repeats)
    return found | {"recommend with a filter, live index": live}


def run(folder: Path, cache: Path, *words: str) -> Figures:
    """Run ``genret`` in a folder; return its seconds by the clock and on the CPU."""
    _, cost = watched("-m", "genret", *words, cwd=folder, cache=cache)
    return {figure: cost[figure] for figure in ("wall_s", "cpu_s")}


def twice(folder: Path, cache: Path, words: Sequence[str], repeats: int) -> Figures:
    """Run a command with no kept programs, then again; return the figures of both."""
    first, *others = (
        run(folder, cache, *words, *([f"out-{cache.name}-{n}"] if words[-1] == "--out" else []))
        for n in range(1 + repeats)
    )
    again = {f"again_{name}": statistics.median(own[name] for own in others) for name in first}
    return first | again


def write_shop(folder: Path, users: int, items: int) -> str:
    """Write ``items``, ``log`` (in both forms), ``tonight.csv`` and ``fifty.csv``; return an item's title."""
    events, catalog = synthetic_tables(users, items, 12, seed=0)
    customers = _named("c", pc.subtract(events["user_id"], 1))
    moments = events["timestamp"].cast(pa.timestamp("s", "UTC"))
    log = pa.table({
        "customer": customers,
        "sku": _named("SKU-", events["item_id"]),
        "bought_at": pc.strftime(moments, format="%Y-%m-%dT%H:%M:%SZ"),
    })  # fmt: skip
    for name, table in (("items", goods(catalog)), ("log", log)):
        pa.csv.write_csv(table, folder / f"{name}.csv")
        pa.parquet.write_table(table, folder / f"{name}.parquet")
    _, more = synthetic_tables(1, items + TONIGHT, 3, seed=0)
    pa.csv.write_csv(goods(more.slice(items)), folder / "tonight.csv")
    fifty = pc.is_in(customers, pa.array([f"c{user}" for user in range(50)]))
    pa.csv.write_csv(log.filter(fifty), folder / "fifty.csv")
    return catalog["title"][0].as_py()


def goods(catalog: pa.Table) -> pa.Table:
    """Return items as a shop has them, with a stock and a date."""
    numbers = catalog["item_id"].to_numpy()
    days = np.datetime64("2026-01-01") + numbers % 300
    return pa.table({
        "sku": _named("SKU-", catalog["item_id"]),
        **{name: catalog[name] for name in ("title", "category", "price")},
        "in_stock": np.where(numbers % 10 < 7, "yes", "no"),
        "added": days.astype(str),
    })  # fmt: skip


def _named(prefix: str, numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(prefix, numbers.cast(pa.string()), "")


main = make_main(FirstHour)

if __name__ == "__main__":
    sys.exit(main())
