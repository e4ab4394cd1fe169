"""Models that read times and users are given both by a job, as a recommender is."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genret.artifacts import read_manifest, write_folder
from genret.config import EngineConfig, ItemDecoderConfig, ScoreConfig
from genret.data import load_run_data, load_user_ids
from genret.errors import GenretError
from genret.histories import Histories
from genret.models import build_model, save_model
from genret.recommend import Recommender
from genret.scoring import score
from tests.scoring.conftest import CONFIG, answers, histories
from tests.small_run import MAX_ITEMS, SIZES

ENGINE = EngineConfig(all_devices=False)


@pytest.fixture(scope="module")
def timed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run with a model that reads times and users."""
    folder = tmp_path_factory.mktemp("timed") / "run"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("model"))
    shape = ItemDecoderConfig(
        codes_per_level=SIZES, width=16, layers=1, heads=2, kv_heads=2, head_dim=8, mlp_dim=32,
        max_items=MAX_ITEMS, time_buckets=9, user_buckets=4,
    )  # fmt: skip
    inputs = {"codes": read_manifest(folder / "codes").fingerprint}
    with write_folder(folder / "model", "model", inputs=inputs) as scratch:
        save_model(scratch, build_model(shape, 1))
    return folder


@pytest.mark.slow
def test_a_job_answers_what_the_recommender_does(timed: Path, tmp_path: Path) -> None:
    catalog, trained = load_run_data(timed)
    known = [trained.user_ids[row].as_py() for row in (7, 2)]
    rng = np.random.default_rng(4)
    users = [str(known[0]), "nobody", str(known[1])]
    positions = [rng.permutation(catalog.num_items)[:count].tolist() for count in (3, 4, 9)]
    seconds = [np.cumsum(rng.integers(1, 5000, len(own))) for own in positions]
    item_ids = catalog.table["item_id"].to_pylist()
    events = [
        (user, str(item_ids[item]), 1_600_000_000 + int(second))
        for user, own, times in zip(users, positions, seconds, strict=True)
        for item, second in zip(own, times, strict=True)
    ]
    # An item that the catalog does not have is left out, and its time with it.
    events.append(("nobody", "missing", 1_600_000_001))
    shuffled = [events[n] for n in rng.permutation(len(events))]
    names = ("user_id", "item_id", "time")
    table = pa.table({name: [e[c] for e in shuffled] for c, name in enumerate(names)})
    pq.write_table(table, tmp_path / "events.parquet")
    config = ScoreConfig(**CONFIG, exclude_seen=True)
    score(timed, tmp_path / "events.parquet", tmp_path / "out", config, ENGINE)
    found = answers(tmp_path / "out").to_pydict()

    shop = Recommender.load(timed)
    times = [1_000_000 * (1_600_000_000 + own) for own in seconds]
    asked = Histories.from_lists(positions, times=times, users=[7, -1, 2])
    expected = shop.recommend_many(asked, 4, beams=6)
    for row, user in enumerate(users):
        rows = [n for n, name in enumerate(found["user"]) if name == user]
        assert [str(found["item"][n]) for n in rows] == [str(one.id) for one in expected[row]]
        scores = [found["score"][n] for n in rows]
        np.testing.assert_allclose(scores, [one.score for one in expected[row]], rtol=1e-5)
    # Both are read: without them the scores are others.
    for known_of in ({"times": times}, {"users": [7, -1, 2]}):
        other = Histories.from_lists(positions, **known_of)
        assert not np.array_equal(shop.recommend_many(other, 4, beams=6).scores, expected.scores)


def test_histories_without_times_are_refused(timed: Path, tmp_path: Path) -> None:
    pq.write_table(histories(3), tmp_path / "lists.parquet")
    with pytest.raises(GenretError, match=r"lists.parquet: found a row a user, expected .* time"):
        score(timed, tmp_path / "lists.parquet", tmp_path / "a", ScoreConfig(**CONFIG), ENGINE)
    (tmp_path / "events.csv").write_text("user_id,item_id\n1,1\n1,2\n")
    with pytest.raises(GenretError, match=r"events.csv.*time"):
        score(timed, tmp_path / "events.csv", tmp_path / "b", ScoreConfig(**CONFIG), ENGINE)


def test_ids_of_the_users_of_a_run(run: Path, tmp_path: Path) -> None:
    _, trained = load_run_data(run)
    expected = [str(one) for one in trained.user_ids.to_pylist()]
    assert load_user_ids(run).to_pylist() == load_user_ids(run / "catalog").to_pylist() == expected
    with pytest.raises(GenretError, match="cannot be read as Parquet"):
        load_user_ids(tmp_path)
