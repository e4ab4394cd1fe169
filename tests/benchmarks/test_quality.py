"""``python -m benchmarks.quality`` at smoke size: records, going on, and what seeds say together."""

import json
from pathlib import Path

import pytest

from benchmarks import quality
from benchmarks._quality_records import over_seeds


@pytest.mark.slow
def test_the_program_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--smoke", "--work", str(tmp_path / "work"), "--out", str(tmp_path), "--seeds"]
    few = ["--methods", "popularity", "item_knn", "own_codes"]
    assert quality.main([*argv, "0", *few]) == 0
    document = json.loads((tmp_path / "quality-synthetic.json").read_text())
    assert set(document["baselines"]) == {"popularity", "item_knn"}
    found = document["methods"]["own_codes"]
    for rule in ("test", "test_unseen"):
        value = found[rule]["recall@10"]
        assert 0 <= value["low"] <= value["mean"] <= value["high"]
    cold = json.loads((tmp_path / "quality-coldstart.json").read_text())["synthetic"]
    assert [share["fraction"] for share in cold["shares"]] == [0.02, 0.05]
    capsys.readouterr()

    record = tmp_path / "work" / "records" / "synthetic-own_codes-0.json"
    before = record.read_bytes()
    assert quality.main([*argv, "0", *few]) == 0
    assert "own_codes, seed 0: there" in capsys.readouterr().out
    assert record.read_bytes() == before
    assert quality.main([*argv, "0", "1", "--methods", "item_knn"]) == 0
    document = json.loads((tmp_path / "quality-synthetic.json").read_text())
    assert document["seeds"] == [0, 1]
    assert len(document["baselines"]["item_knn"]["test"]["recall@10"]["by_seed"]) == 2


def test_seeds_widen_the_interval_of_the_users() -> None:
    def result(value: float) -> dict:
        return {"recall@10": value, "intervals": {"recall@10": [value - 0.03, value + 0.04]}}

    equal = over_seeds([result(0.5)] * 3)["recall@10"]
    assert equal["low"] == pytest.approx(0.47)
    assert equal["high"] == pytest.approx(0.54)
    assert equal["by_seed"] == [0.5] * 3
    apart = over_seeds([result(0.4), result(0.6)])["recall@10"]
    half = (0.03**2 + (1.96 * 0.02**0.5) ** 2 / 2) ** 0.5  # standard deviation √0.02
    assert apart["mean"] == 0.5
    assert apart["low"] == pytest.approx(0.5 - half)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--data", "books"], "--data: found 'books'"),
        (["--data", "beauty", "--methods", "own_codes"], "beauty has no 'own_codes'"),
        (["--data", "office", "--folder", "/nowhere", "--methods", "popularity"], "no such file"),
    ],
)
def test_bad_input(
    argv: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--work", str(tmp_path), "--out", str(tmp_path)]
    assert quality.main([*argv, *folders]) == 2
    assert says in capsys.readouterr().err
