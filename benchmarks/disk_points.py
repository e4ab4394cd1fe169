"""Points of data that stays on disk: what training holds of long logs, and tokenizing of many vectors."""

import functools
import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.ingest import write_log
from benchmarks.process import Figures, in_own_process, make_run, timed, watched
from benchmarks.record import Points
from genret.config import TokenizeConfig
from genret.tensors import read_npy
from genret.tokenizers import RQKMeans
from genret.typing import Vectors

ITEMS, MEAN_EVENTS = 100_000, 20
"""Items of the catalog, and events of a history."""
TRAIN = (
    "--preset small --batch-size 64 --steps 60 --log-every 20 --eval-every 60 --eval-users 500 "
    "--checkpoint-every 30"
)
LEVELS, CODES, CENTERS = 3, 256, 2000
SEEDS = 5
"""Data sets of which the means are compared: collisions of one differ by percents from start to start."""


def histories(*events: int) -> Points:
    """Train on so many events, each with ``genret train`` in a process of its own."""
    return {f"histories: {count} events": functools.partial(_trained, count) for count in events}


def vectors(items: int, width: int, compared: int) -> Points:
    """Tokenize vectors in a file, and compare mini-batches of fewer ones with full batches."""
    return {
        f"vectors: {items} x {width} in a file": functools.partial(_in_a_file, items, width),
        f"batches: {compared} x {width}": functools.partial(_compared, compared, width),
    }


def _trained(events: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        run, users = Path(folder, "run"), events // MEAN_EVENTS
        in_own_process(_prepare, run, events, users)
        file = run / "catalog" / "histories.parquet"
        figures = {"events": events, "users": users, "parquet_gib": file.stat().st_size / 2**30}
        said, cost = watched("-m", "genret", "train", run, *TRAIN.split(), "--json")
        answer = json.loads(said)
        figures |= {name: answer[name] for name in ("steps", "loss", "users_per_second")}
        return figures | cost | {"train_s": cost["wall_s"]}


def _prepare(run: Path, events: int, users: int) -> None:
    log = run.with_name("log.parquet")
    write_log(log, events, users, ITEMS)
    tokenize = "--method random --levels 3 --codebook-size 256"
    make_run(run, ingest=f"--interactions {log}", tokenize=tokenize)


def _in_a_file(items: int, width: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "vectors.npy")
        drawn = Clusters(width, seed=0)
        shape = (items, width)
        found = np.lib.format.open_memmap(file, "w+", np.float16, shape)  # type: ignore[no-untyped-call]
        for first in range(0, items, 100_000):
            found[first : first + 100_000] = drawn.draw(min(100_000, items - first))
        found.flush()
        del found
        code = f"from benchmarks.disk_points import tokenize; tokenize({str(file)!r})"
        said, cost = watched("-c", code)
        return json.loads(said) | cost | {"items": items, "file_gib": file.stat().st_size / 2**30}


def tokenize(file: str) -> None:
    """Fit a tokenizer to the vectors of a file, encode them, and print the seconds as JSON."""
    vectors, figures = read_npy(file, most_bytes=0), {}
    config = TokenizeConfig(levels=LEVELS, codebook_size=CODES, iterations=1)
    with timed(figures, "fit_s"):
        tokenizer = RQKMeans.fit(vectors, config, seed=0)
    with timed(figures, "encode_s"):
        tokenizer.encode(vectors)
    print(json.dumps(figures))


def _compared(items: int, width: int) -> Figures:
    figures: Figures = {}
    for seed in range(SEEDS):
        vectors = Clusters(width, seed).draw(items)
        for name, size in (("full", items), ("mini", items // 12)):
            config = TokenizeConfig(
                levels=LEVELS, codebook_size=CODES, iterations=20, batch_size=size
            )
            report = RQKMeans.fit(vectors, config, seed=seed).report(vectors)
            for what, value in (
                ("error", report["levels"][-1]["error"]),
                ("collisions", report["collisions_before"]["items"]),
            ):
                figures.setdefault(f"{name}_{what}", []).append(value)
    for what in ("error", "collisions"):
        mini, full = sum(figures[f"mini_{what}"]), sum(figures[f"full_{what}"])
        figures[f"{what}_over_full"] = mini / max(full, 1e-9)
    return figures


class Clusters:
    """Draws vectors around centers, whose later directions are ever shorter."""

    def __init__(self, width: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.lengths = np.exp(-np.arange(width) / 20).astype(np.float32)[None, :]
        centers = self.rng.normal(size=(CENTERS, width)) * self.lengths
        self.centers = centers.astype(np.float32)

    def draw(self, count: int) -> Vectors:
        """Return so many vectors."""
        noise = self.rng.standard_normal((count, self.centers.shape[1]), np.float32)
        chosen = self.rng.integers(0, CENTERS, count)
        return self.centers[chosen] + 0.5 * self.lengths * noise
