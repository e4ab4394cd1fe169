"""The benchmark past one device runs, and says what it did not measure."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
