"""From identifiers of every kind to recommended titles, through the same index and search."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import TINY_MODEL, TINY_TRAIN, Command

METHODS = {
    "titles": ("--codebook-size", "64", "--title-pieces", "8"),
    "collaborative": ("--levels", "2", "--codebook-size", "4"),
    "fsq": ("--levels", "2", "--fsq-levels", "4", "3", "--training-steps", "20"),
    "rq_vae": (
        *("--levels", "2", "--codebook-size", "8", "--training-steps", "20"),
        *("--contrast", "0.1", "--collisions", "keep"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_answer_is_an_item(trained: Path, genret: Command, method: str) -> None:
    for verb, *options in (
        ("tokenize", "--method", method, *METHODS[method]),
        ("index",),
        ("train", *TINY_MODEL, *TINY_TRAIN),
        ("evaluate", "--beams", "20", "--bootstrap", "20"),
    ):
        done = genret(verb, trained, "--json", *options)
        assert done.status == 0, done.err
    metrics = json.loads((trained / "reports" / "metrics.json").read_text())
    assert metrics["model"]["valid"] == 1.0
    found = json.loads(genret("recommend", trained, "--user", "7", "--json", "--k", "40").out)
    items = [answer["item_id"] for answer in found["recommendations"]]
    assert len(set(items)) == len(items) > 20
    shown = genret("inspect", trained / "codes")
    assert "report.collisions_before.items" in shown.out
    assert "used" in shown.out
