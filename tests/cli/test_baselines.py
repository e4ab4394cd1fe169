"""``genret evaluate --baselines --check-beams``: every method in the table, SASRec kept in the run."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command

OPTIONS = ("--beams", "20", "--bootstrap", "20", "--baselines", "--sasrec-epochs", "1")


@pytest.mark.slow
def test_baselines_stand_beside_the_model(trained: Path, genret: Command) -> None:
    done = genret("evaluate", trained, *OPTIONS, "--check-beams")
    assert done.status == 0, done.err
    metrics = json.loads((trained / "reports" / "metrics.json").read_text())
    methods = ("model", "exact", "sasrec", "item_knn", "popularity", "random")
    for method in methods:
        assert metrics[method]["users"] == metrics["model"]["users"]
        assert metrics[method]["valid"] == 1.0
        assert method in done.out
    for found in metrics["beams"].values():
        assert set(found) == {"beams", "exact", "relative_difference"}
    assert metrics["protocol"]["sasrec"]["epochs"] == 1
    assert "model / sasrec" in (trained / "reports" / "report.md").read_text(encoding="utf-8")

    folder = trained / "baselines" / "sasrec"
    manifest = (folder / "manifest.json").read_bytes()
    stamp = (folder / "manifest.json").stat().st_mtime_ns
    assert not (trained / "baselines" / "sasrec-checkpoints").exists()
    assert genret("evaluate", trained, *OPTIONS).status == 0
    assert (folder / "manifest.json").stat().st_mtime_ns == stamp, "trained again"
    assert genret("evaluate", trained, *OPTIONS, "--seed", "1").status == 0
    assert (folder / "manifest.json").read_bytes() != manifest
    assert genret("inspect", folder).status == 0


def test_exact_scores_are_not_compared_with_themselves(trained: Path, genret: Command) -> None:
    done = genret("evaluate", trained, "--check-beams", "--exact")
    assert done.status == 2
    assert "leave --exact out" in done.err
