"""``python -m benchmarks.ingest`` at smoke size, and its checks of the answers."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ingest
from benchmarks.bars import evaluate, judge
from benchmarks.record import ROOT
from genret.cli.base import Reporter
from genret.cli.ingest import Ingest
from genret.config import SourceConfig
from genret.data import load_run_data
from genret.errors import GenretError


@pytest.mark.slow
def test_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ingest.json"
    assert ingest.main(["--smoke", "--json", str(out)]) == 0
    document = json.loads(out.read_text())
    assert set(document["points"]) == {f"20,000 interactions, {f}" for f in ("parquet", "csv")}
    assert document["environment"]["versions"]["genret"]
    assert document["bars"] == {}  # 20,000 events say nothing about 10,000,000
    for figures in document["points"].values():
        assert figures["found"]["events"] == 20_000
        assert figures["events_per_second"] == pytest.approx(20_000 / figures["seconds"])
        assert figures["peak_gib"] >= figures["imports_gib"] > 0
    assert "csv" in capsys.readouterr().out


def test_lost_and_swapped_events_are_seen(tmp_path: Path) -> None:
    # With so many items the checksum passes 2^64.
    expected = ingest.write_log(tmp_path / "log.csv", 5000, 200, 2**20, piece=400)
    run = tmp_path / "run"
    Ingest(run_folder=run, source=SourceConfig(interactions=(tmp_path / "log.csv",))).run(
        Reporter(as_json=True)
    )
    catalog, histories = load_run_data(run)
    found = ingest.answer(catalog, histories)
    assert found == expected

    # The same counts, but two events of different items have changed places.
    items = histories.events.items.copy()
    other = int(np.flatnonzero(items != items[0])[0])
    items[[0, other]] = items[[other, 0]]
    events = dataclasses.replace(histories.events, items=items)
    swapped = ingest.answer(catalog, dataclasses.replace(histories, events=events))
    assert {n for n in found if found[n] != swapped[n]} == {"checksum"}
    times = histories.events.times
    assert times is not None
    events = dataclasses.replace(histories.events, times=times[::-1].copy())
    with pytest.raises(GenretError, match="not in the order of time"):
        ingest.answer(catalog, dataclasses.replace(histories, events=events))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no VmHWM")
def test_the_memory_of_the_parent_does_not_count() -> None:
    ballast = np.ones(50_000_000)  # 0.37 GiB that the child must not report
    code = "from benchmarks.process import peak_gib; print(peak_gib())"
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert 0 < float(child.stdout) < ballast.nbytes / 2**30


def test_a_bar_can_be_missed() -> None:
    assert judge(3.0, 3.0)["met"]
    assert not judge(2.9, 3.0)["met"]
    assert not judge(2.1, 2.0, at_most=True)["met"]


def test_a_run_is_held_against_the_bars_of_its_size() -> None:
    figures = {"peak_gib": 1.2, "seconds": 700.0}
    for events, missed in (
        ("20,000", {}),  # they say nothing about 10,000,000
        ("10,000,000", {"1e7: peak GiB": False}),
        ("100,000,000", {"1e8: peak GiB": True, "1e8: seconds": False}),
    ):
        points = {f"{events} interactions, csv": figures}
        document = {"points": points, "bars": {}, "verdicts": {}}
        evaluate(document, ingest.Ingest.bars)
        found = document["verdicts"]
        assert {name: judged["met"] for name, judged in found.items()} == missed
