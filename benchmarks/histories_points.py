"""Points of histories that do not fit into memory: what a training holds of few and of many events."""

import functools
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.process import Figures, in_own_process, timed, verb, watched
from benchmarks.record import Points
from genret.artifacts import write_folder
from genret.data import Catalog, SplitHistories, leave_one_out
from genret.data._columns_on_disk import joined
from genret.histories import Histories, offsets_of

ITEMS, LENGTHS = 100_000, (5, 36)
"""Items of the catalog, and the shortest history and the first length that none has: 20 on average."""
TRAIN = (
    "--preset small --batch-size 64 --steps 60 --log-every 20 --eval-every 60 --eval-users 500 "
    "--checkpoint-every 30"
)


def points(*events: int) -> Points:
    """Train on so many events, each with ``genret train`` in a process of its own."""
    return {f"histories: {count} events": functools.partial(_trained, count) for count in events}


def spread(values: Sequence[float]) -> float | None:
    """Return the largest of several values over the smallest; None of fewer than two."""
    return max(values) / min(values) if len(values) > 1 else None


def _trained(events: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        users = in_own_process(_prepare, run, events)
        figures: Figures = {"events": events, "users": users}
        file = run / "catalog" / "histories.parquet"
        figures["parquet_gib"] = file.stat().st_size / 2**30
        command = [sys.executable, "-m", "genret", "train", str(run), *TRAIN.split(), "--json"]
        with timed(figures, "train_s"):
            answer, memory = watched(command)
        return figures | memory | {n: answer[n] for n in ("steps", "loss", "users_per_second")}


def _prepare(run: Path, events: int) -> int:
    """Write a run with a catalog, histories with times and codes; return the number of users."""
    rng = np.random.default_rng(0)
    users = round(events / ((LENGTHS[0] + LENGTHS[1] - 1) / 2))
    pieces = (_piece(rng, min(50_000, users - first)) for first in range(0, users, 50_000))
    with write_folder(run / "catalog", "catalog") as folder:
        ids = [f"i{number}" for number in range(ITEMS)]
        Catalog.from_table(pa.table({"item_id": ids, "title": ids})).save(folder)
        made = joined(pieces, run, timed=True, named=False)
        split = leave_one_out(made)
        names = pa.array(np.char.add("u", np.arange(users).astype(str)))
        SplitHistories(names, made, **vars(split)).save(folder)
    verb("tokenize", run, "--method", "random", "--levels", "3", "--codebook-size", "256")
    return users


def _piece(rng: np.random.Generator, users: int) -> Histories:
    offsets = offsets_of(rng.integers(*LENGTHS, users))
    # Popularity falls with the item's row; times ascend by up to a day.
    items = (rng.random(offsets[-1]) ** 2 * ITEMS).astype(np.int32)
    times = np.cumsum(rng.integers(1, 86_400 * 10**6, offsets[-1]))
    return Histories(offsets=offsets, items=items, times=times)
