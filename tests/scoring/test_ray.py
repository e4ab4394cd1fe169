"""On a Ray cluster of three nodes: the content of one machine, also when a node is killed."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from genret.config import EngineConfig, ScoreConfig
from genret.errors import GenretError
from genret.scoring import ScoreResult, score
from tests.scoring.conftest import CONFIG, answers, histories

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
SHARDS, USERS = 9, 60


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start a head without CPUs and three nodes with one each."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install genret[ray]")
    utils = pytest.importorskip("ray.cluster_utils")
    with pytest.MonkeyPatch.context() as patch:
        # The workers are told of it when they start: nodes are dead sooner than after 30 s.
        patch.setenv("RAY_health_check_initial_delay_ms", "0")
        patch.setenv("RAY_health_check_period_ms", "500")
        patch.setenv("RAY_health_check_failure_threshold", "4")
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        started = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        started.nodes = [started.add_node(num_cpus=1) for _ in range(3)]
        ray.init(address=started.address, log_to_driver=False, logging_level="error")
        yield started
        ray.shutdown()
        started.shutdown()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ray")
    for number in range(SHARDS):
        table = histories(USERS, seed=number, first=number * USERS)
        pq.write_table(table, folder / f"{number}.parquet")
    return folder


@pytest.fixture(scope="module")
def local(run: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> ScoreResult:
    out = tmp_path_factory.mktemp("local") / "out"
    return score(run, data, out, ScoreConfig(**CONFIG), EngineConfig(all_devices=False))


def on_ray(run: Path, data: Path, out: Path, **options: Any) -> ScoreResult:
    engine = EngineConfig(engine="ray", workers=3, all_devices=False)
    return score(run, data, out, ScoreConfig(**CONFIG | options), engine)


def test_the_same_content(
    cluster: Any, run: Path, data: Path, local: ScoreResult, tmp_path: Path
) -> None:
    whole = on_ray(run, data, tmp_path / "whole")
    assert whole.manifest["fingerprint"] == local.manifest["fingerprint"]
    assert whole.users_scored_now == SHARDS * USERS


@pytest.mark.parametrize("shards", [0, 1, 3, 5, 7])
def test_a_killed_node_loses_and_doubles_nobody(
    cluster: Any, run: Path, data: Path, local: ScoreResult, tmp_path: Path, shards: int
) -> None:
    """A node is killed as soon as so many shards are finished, and another one joins."""
    out = tmp_path / "killed"
    nodes = len(cluster.list_all_nodes())
    # The job is the other thread: Ray starts nodes in the main one only.
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(on_ray, run, data, out)
        while not out.exists() or len(list(out.glob("_shards/*.json"))) < shards:
            assert not job.done(), job.result()
            time.sleep(0.02)
        cluster.remove_node(cluster.nodes.pop(), allow_graceful=False)
        cluster.nodes.append(cluster.add_node(num_cpus=1))
        result = job.result()
    assert len(cluster.list_all_nodes()) == nodes
    assert result.manifest["fingerprint"] == local.manifest["fingerprint"]
    users = [r["user"] for r in answers(out).to_pylist() if r["rank"] == 1]
    assert users == list(range(SHARDS * USERS))


def test_a_job_begun_here_goes_on_there(
    cluster: Any, run: Path, data: Path, local: ScoreResult, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for file in data.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    good = (folder / "4.parquet").read_bytes()
    (folder / "4.parquet").write_bytes(good[:50])
    out = tmp_path / "out"
    with pytest.raises(GenretError, match=r"4\.parquet: .* 1 of 9 shards could not be scored"):
        score(run, folder, out, ScoreConfig(**CONFIG), EngineConfig(all_devices=False))
    (folder / "4.parquet").write_bytes(good)
    result = on_ray(run, folder, out)
    assert result.users_scored_now == USERS
    assert result.manifest["fingerprint"] == local.manifest["fingerprint"]


def test_a_scorer_that_cannot_be_made_is_one_clear_line(
    cluster: Any, run: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(GenretError, match="has no column 'color'"):
        on_ray(run, data, tmp_path / "out", where=("color == 'red'",))
