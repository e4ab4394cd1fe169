"""The program of the constraint bars: what it writes, how it goes on, and that wrong answers stop it."""

import json
from pathlib import Path

import pytest

from benchmarks import constraint, engine_points
from benchmarks.bars import evaluate
from benchmarks.constraint import BARS
from benchmarks.record import RESULTS, read


def test_points_are_written_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bars.json"
    arguments = ["--smoke", "--json", str(file), "--only", "4 build"]
    assert constraint.main(arguments) == 0
    document = json.loads(file.read_text())
    (point,) = document["points"].values()
    assert point["sorted"]["ms"] > 0
    assert document["environment"]["versions"]["jax"]

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("benchmarks.engine_points.interleave", never)
    assert constraint.main([*arguments, "--resume"]) == 0
    again = json.loads(file.read_text())
    assert again["points"] == document["points"]


def test_a_point_that_fails_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no such luck")

    monkeypatch.setattr(engine_points, "interleave", broken)
    file = tmp_path / "bars.json"
    assert constraint.main(["--smoke", "--json", str(file), "--only", "1 grid"]) == 1
    (point,) = json.loads(file.read_text())["points"].values()
    assert "no such luck" in point["error"]


def test_bad_options_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["--only", "12 none"], "only: found '12 none', which no point has in its name"),
        (["--static", str(tmp_path)], "static: found no"),
        (["--resume"], "resume: found no file"),
    ):
        assert constraint.main(["--smoke", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_bars_are_computed_from_the_points() -> None:
    committed = read(RESULTS / "constraint.json")
    again = {**committed, "bars": {}, "verdicts": {}}
    evaluate(again, BARS)
    assert again["bars"] == committed["bars"]
    assert {name: verdict["met"] for name, verdict in again["verdicts"].items()} == {
        name: verdict["met"] for name, verdict in committed["verdicts"].items()
    }


def test_a_bar_whose_point_failed_is_missed() -> None:
    points = {"1 grid: a": {"over_floor": 2.0}, "1 grid: b": {"error": "no"}, "2 zipf: a": {}}
    document = {"points": points, "bars": {}, "verdicts": {}}
    evaluate(document, BARS)
    assert document["bars"]["ours_over_floor"] == pytest.approx(2.0)
    assert document["verdicts"]["ours_over_floor"]["errors"] == ["no"]
    assert not document["verdicts"]["min_speedup"]["met"]
    assert "zipf_over_uniform" not in document["bars"]


@pytest.mark.slow
def test_the_smoke_preset_runs_whole(tmp_path: Path, shared_data: Path) -> None:
    file = tmp_path / "bars.json"
    arguments = ["--smoke", "--json", str(file), "--data", str(shared_data)]
    bars = ("1 grid", "2 zipf", "3 bytes", "7", "8 calls", "9 filters", "10 history", "11 one user")
    assert constraint.main([*arguments, "--only", *bars]) == 0
    document = json.loads(file.read_text())
    assert not [point for point in document["points"].values() if "error" in point]
    assert document["bars"]["recompilations"] == 0
    assert document["bars"]["history_bytes_growth"] == 1
    assert document["bars"]["filters_over_none"] > 0
    assert "one_user_ms_over_search" in document["bars"]
