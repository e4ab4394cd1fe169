"""``RUN/README.md``: what the run was made from, how good it is, and how to load it."""

import json
from pathlib import Path

import pytest

from genret.artifacts import Run
from genret.evaluation.model_card import write_model_card
from genret.evaluation.report_words import verdict
from tests.cli.conftest import TINY_MODEL, TINY_TRAIN, Command


@pytest.mark.slow
def test_the_card_says_what_the_run_is(trained_once: Path) -> None:
    card = (trained_once / "README.md").read_text(encoding="utf-8")
    metrics = json.loads((trained_once / "reports" / "metrics.json").read_text())
    assert verdict(metrics) in card
    assert "| items | 40 |" in card
    assert "item_decoder" in card
    (program,) = card.split("```python\n")[1:]
    code = program.split("```")[0].replace(f'"{trained_once.name}"', f'"{trained_once}"')
    names: dict[str, object] = {}
    exec(code, names)
    assert set(names) >= {"recommender", "seen"}


@pytest.mark.slow
def test_a_new_model_has_no_metrics_yet_and_a_foreign_readme_stays(
    trained: Path, genret: Command
) -> None:
    done = genret("train", trained, *TINY_MODEL, *TINY_TRAIN, "--seed", "1")
    assert done.status == 0, done.err
    card = (trained / "README.md").read_text(encoding="utf-8")
    assert "Not measured yet" in card
    assert "seed 1" in card
    (trained / "README.md").write_text("mine\n", encoding="utf-8")
    assert write_model_card(Run.open(trained)) is None
    assert (trained / "README.md").read_text(encoding="utf-8") == "mine\n"
