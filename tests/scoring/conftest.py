"""A small run that nobody trained, histories of its users, and jobs over them."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genret.config import EngineConfig, ScoreConfig
from genret.scoring import Scorer, ScoreResult, score
from tests.small_run import ITEMS, write_small_run

CONFIG: dict[str, Any] = {"k": 4, "beams": 6, "decode_batch": 8}


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder with catalog, codes, index and model; not to be changed."""
    return write_small_run(tmp_path_factory.mktemp("scoring") / "run")


def histories(users: int, *, seed: int = 0, longest: int = 12, first: int = 0) -> pa.Table:
    """Make users, and histories of 0 to ``longest`` items."""
    rng = np.random.default_rng(seed)
    lists = [
        rng.integers(1, ITEMS + 1, rng.integers(0, longest + 1)).tolist() for _ in range(users)
    ]
    return pa.table(
        {
            "user_id": pa.array(np.arange(first, first + users)),
            "items": pa.array(lists, pa.list_(pa.int64())),
        }
    )


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of three shards of histories; not to be changed."""
    folder = tmp_path_factory.mktemp("histories")
    for number, users in enumerate((40, 25, 33)):
        table = histories(users, seed=number, first=100 * number)
        pq.write_table(table, folder / f"day-{number}.parquet", row_group_size=7)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _load_once() -> Iterator[None]:
    """Jobs of one configuration share a scorer: it is loaded and compiled once."""
    load_one = functools.cache(Scorer.load)

    def load(run: Any, config: ScoreConfig, engine: EngineConfig, compiling: Any = None) -> Scorer:
        # What a scorer does not look at.
        plain = {"layout": "auto", "output": "rows", "unknown_items": "drop", "time": None}
        plain |= {"chunk_users": 32768, "most_seen": 16384}
        return load_one(str(run), dataclasses.replace(config, **plain), engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scorer, "load", load)
        yield


Job = Callable[..., ScoreResult]


@pytest.fixture
def job(run: Path, tmp_path: Path) -> Job:
    """Return a function that scores histories (a path or a table) into ``tmp_path / "out"``."""

    def start(data: Any, *, out: Any = None, engine: Any = None, **options: Any) -> ScoreResult:
        if isinstance(data, pa.Table):
            file = tmp_path / "histories.parquet"
            pq.write_table(data, file)
            data = file
        engine = EngineConfig(all_devices=False, **(engine or {}))
        config = ScoreConfig(**CONFIG | options)
        return score(run, data, tmp_path / "out" if out is None else out, config, engine)

    return start


@pytest.fixture(scope="session")
def whole(run: Path, shards: Path, tmp_path_factory: pytest.TempPathFactory) -> ScoreResult:
    """Return an uninterrupted job over the shards, on one device."""
    out = tmp_path_factory.mktemp("whole") / "out"
    return score(run, shards, out, ScoreConfig(**CONFIG), EngineConfig(all_devices=False))


def answers(out: Path) -> pa.Table:
    """Read all answers of a folder."""
    return pq.read_table(out / "scores")


def rejected(out: Path) -> list[dict[str, Any]]:
    """Read the rejected rows of a folder."""
    return pq.read_table(out / "rejected.parquet").to_pylist()
