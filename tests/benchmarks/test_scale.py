"""The benchmark past one device runs, and says what it did not measure."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import serve_points

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_smoke_run_meets_its_bars(tmp_path: Path) -> None:
    file = tmp_path / "scale.json"
    command = [sys.executable, "-m", "benchmarks.scale", "--smoke", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(file.read_text())
    bars, verdicts = document["bars"], document["verdicts"]
    assert bars["shards_wrong"] == 0
    assert bars["mesh_relative_difference"] <= 1e-5
    assert all(verdict["met"] for verdict in verdicts.values())
    assert set(document["not_measured"]).isdisjoint(bars)


@pytest.mark.slow
def test_a_service_is_measured_and_fails_nobody() -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install genret[ray]")
    ((_, measure),) = serve_points.points("tiny", items=100, seconds=1).items()
    figures = measure()
    assert figures["failed"] == figures["refused_before"] == 0
    assert figures["refused"] > 0
    assert figures["users_per_second"] > 0
    assert set(figures["loads"]) == {str(clients) for clients in serve_points.LOADS}
