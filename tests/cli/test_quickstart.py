"""``genret quickstart``: the whole job on invented data, on films, and on one's own."""

import json
from pathlib import Path

import numpy as np
import pytest

from genret.artifacts import Run
from tests.cli.conftest import Command

KINDS = ("catalog", "vectors", "codes", "index", "model", "reports")


@pytest.mark.slow
def test_the_whole_job(tmp_path: Path, genret: Command) -> None:
    done = genret("quickstart", tmp_path / "run", "--smoke", "--synthetic")
    assert done.status == 0, done.err
    for stage in ("ingest", "embed", "tokenize", "index", "train", "evaluate", "recommend"):
        assert f"== {stage}" in done.out
    assert done.out.count("what comes next") == 3
    run = Run.open(tmp_path / "run")
    for kind in KINDS:
        run.require(kind)
    metrics = json.loads((tmp_path / "run" / "reports" / "metrics.json").read_text())
    assert metrics["model"]["valid"] == 1.0
    # Synthetic histories have an order to learn; twenty steps are enough to see some of it.
    assert metrics["model"]["ndcg@10"] > 2 * metrics["popularity"]["ndcg@10"]


@pytest.mark.slow
def test_ones_own_data_and_codes(tmp_path: Path, genret: Command) -> None:
    rng = np.random.default_rng(0)
    lines = ["user_id,item_id,timestamp"]
    lines += [f"u{u},{rng.integers(30)},{u * 50 + t}" for u in range(40) for t in range(6)]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    (tmp_path / "items.csv").write_text("item_id\n" + "\n".join(map(str, range(30))))
    codes = {str(i): [f"<a_{i // 6}>", f"<b_{i % 6}>"] for i in range(30)}
    (tmp_path / "x.index.json").write_text(json.dumps(codes))
    done = genret(
        "quickstart", tmp_path / "run", "--smoke", "--json",
        "--interactions", tmp_path / "log.csv", "--items", tmp_path / "items.csv",
        "--codes", tmp_path / "x.index.json",
    )  # fmt: skip
    assert done.status == 0, done.err
    result = json.loads(done.out)
    assert result["metrics"]["model"]["valid"] == 1.0
    assert len(result["recommendations"]) == 3
    assert not (tmp_path / "run" / "vectors").exists()


def test_sources_exclude_each_other(tmp_path: Path, genret: Command) -> None:
    done = genret("quickstart", tmp_path / "run", "--synthetic", "--interactions", "log.csv")
    assert done.status == 2
    assert "several inputs" in done.err


@pytest.mark.exhaustive
def test_office_with_its_own_codes(shared_data: Path, tmp_path: Path, genret: Command) -> None:
    office = shared_data / "office"
    done = genret(
        "quickstart", tmp_path / "run", "--steps", "300", "--json",
        "--interactions", office / "inter.json", "--items", office / "item.json",
        "--codes", office / "index.json",
    )  # fmt: skip
    assert done.status == 0, done.err
    metrics = json.loads(done.out)["metrics"]
    assert metrics["model"]["valid"] == 1.0
    assert metrics["model"]["recall@10"] > 0.03  # chance: 0.004


@pytest.mark.exhaustive
def test_films_are_recommended_better_than_by_popularity(tmp_path: Path, genret: Command) -> None:
    done = genret("quickstart", tmp_path / "run")
    if done.status == 2 and "--synthetic" in done.err:
        pytest.skip(f"MovieLens-100K cannot be fetched: {done.err}")
    assert done.status == 0, done.err
    for stage in ("ingest", "embed", "tokenize", "index", "train", "evaluate", "recommend"):
        assert f"== {stage}" in done.out
    assert done.out.count("what comes next") == 3
    run = Run.open(tmp_path / "run")
    for kind in KINDS:
        run.require(kind)
    metrics = json.loads((tmp_path / "run" / "reports" / "metrics.json").read_text())
    assert metrics["model"]["valid"] == 1.0
    assert metrics["model"]["ndcg@10"] >= 1.6 * metrics["popularity"]["ndcg@10"]
