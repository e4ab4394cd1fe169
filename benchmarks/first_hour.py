"""What a new user waits for: from files to a first recommendation, and small commands from a cold start.

    python -m benchmarks.first_hour --json benchmarks/results/first_hour.json

An invented shop (items with titles, categories, prices and stock; purchases with ISO times) is written
as CSV and as Parquet. Every command is a process of its own, as in a terminal. "First" means that the
folder of kept programs is empty, so everything is compiled; "again" is the same command once more.
"""

import dataclasses
import datetime
import os
import statistics
import subprocess
import sys
import tempfile
import time
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
from benchmarks.process import Figures
from benchmarks.program import Program, make_main
from benchmarks.record import ROOT, Points
from benchmarks.tables import Columns, Table
from genret.errors import GenretError

KINDS = ("lamp", "desk", "chair", "mug", "rug", "clock", "shelf", "vase", "plant", "kettle")
LOOKS = ("calm", "bold", "amber", "slate", "olive", "ivory", "rustic", "modern", "tiny", "grand")
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
    found: dict[str, Figures] = {}
    write_shop(folder, asked.users, asked.items)
    history = ("--history", "calm lamp 0", "SKU-00010")
    for form in FORMS:
        here = Terminal(folder, f"new-{form}")
        files = ("--interactions", f"log.{form}", "--items", f"items.{form}")
        found[f"quickstart, {form}"] = here.run("quickstart", form, *files)
        found[f"recommend after it, {form}"] = here.run("recommend", form, *history)
    small = {
        "recommend": ("recommend", "csv", *history),
        "recommend with a filter": ("recommend", "csv", *history, "--where", "in_stock"),
        "score 50 users": ("score", "csv", "--histories", "fifty.csv", "--user", "customer",
                           "--k", "10", "--exclude-seen", "--out"),
    }  # fmt: skip
    for name, words in small.items():
        found[name] = twice(Terminal(folder, name.replace(" ", "-")), words, asked.repeats)
    Terminal(folder, "changes").run("add-items", "csv", "--items", "tonight.csv")
    live = "recommend with a filter, live index"
    found[live] = twice(Terminal(folder, "live"), small["recommend with a filter"], asked.repeats)
    return found


def twice(here: "Terminal", words: Sequence[str], repeats: int) -> Figures:
    """Run a command with no kept programs, then again; return the figures of both."""
    runs = []
    for number in range(1 + repeats):
        out = [f"{here.cache.name}-{number}"] if words[-1] == "--out" else []
        runs.append(here.run(*words, *out))
    again = {
        f"again_{figure}": statistics.median(run[figure] for run in runs[1:]) for figure in runs[0]
    }
    return {**runs[0], **again}


class Terminal:
    """Runs ``genret`` in a folder, with kept programs of its own: none at first."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.cache = folder, folder / "caches" / name

    def run(self, *words: str) -> Figures:
        """Run a verb; return its seconds by the clock and on the CPU."""
        kept = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
        python = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        before, start = os.times(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "genret", *words],
            cwd=self.folder, capture_output=True, text=True, check=False,
            env=kept | {"XDG_CACHE_HOME": str(self.cache), "PYTHONPATH": python},
        )  # fmt: skip
        wall = time.perf_counter() - start
        if done.returncode:
            said = done.stderr.strip()[-300:]
            raise GenretError(f"genret {words[0]}: ended with status {done.returncode}: {said}")
        used, now = sum(before[2:4]), sum(os.times()[2:4])  # by processes that ended
        return {"wall_s": round(wall, 2), "cpu_s": round(now - used, 2)}


def write_shop(folder: Path, users: int, items: int) -> None:
    """Write ``items``, ``log`` (in both forms), ``tonight.csv`` and ``fifty.csv`` into a folder."""
    rng = np.random.default_rng(0)
    catalog, log = shop_items(0, items, rng), purchases(users, items, rng)
    for name, table in (("items", catalog), ("log", log)):
        pa.csv.write_csv(table, folder / f"{name}.csv")
        pa.parquet.write_table(table, folder / f"{name}.parquet")
    pa.csv.write_csv(shop_items(items, 30, rng), folder / "tonight.csv")
    fifty = pc.is_in(log["customer"], pa.array([f"c{user}" for user in range(50)]))
    pa.csv.write_csv(log.filter(fifty), folder / "fifty.csv")


def shop_items(first: int, count: int, rng: np.random.Generator) -> pa.Table:
    """Return items with the numbers from ``first`` on."""
    numbers = range(first, first + count)
    kinds = [KINDS[n % 10] for n in numbers]
    day = datetime.date(2026, 1, 1)
    return pa.table({
        "sku": [f"SKU-{n:05d}" for n in numbers],
        "title": [f"{LOOKS[n // 10 % 10]} {KINDS[n % 10]} {n}" for n in numbers],
        "category": kinds,
        "price": [round(float(x), 2) for x in rng.uniform(5, 200, count)],
        "in_stock": ["yes" if x < 0.7 else "no" for x in rng.random(count)],
        "added": [(day + datetime.timedelta(days=n % 300)).isoformat() for n in numbers],
    })  # fmt: skip


def purchases(users: int, items: int, rng: np.random.Generator) -> pa.Table:
    """Return 5 to 20 purchases of each user, who stays with two kinds of things."""
    start = datetime.datetime(2026, 10, 1, 8)
    rows: dict[str, list[str]] = {"customer": [], "sku": [], "bought_at": []}
    for user in range(users):
        kinds = rng.choice(10, 2, replace=False)
        for step in range(int(rng.integers(5, 21))):
            number = int(items // 10 * rng.random() ** 2) * 10 + int(rng.choice(kinds))
            moment = start + datetime.timedelta(hours=5 * step, minutes=user)
            values = (f"c{user}", f"SKU-{number:05d}", f"{moment.isoformat()}Z")
            for column, value in zip(rows.values(), values, strict=True):
                column.append(value)
    return pa.table(rows)


main = make_main(FirstHour)

if __name__ == "__main__":
    sys.exit(main())
