"""Training by the command line: recipes, losses, what is read beside codes, warm starts."""

import dataclasses
import json
from pathlib import Path

import pytest

from genret.config import RECIPES, ItemDecoderConfig, ModelConfig, Recipe, TrainConfig
from genret.models import load_model
from tests.cli.conftest import TINY_MODEL, TINY_TRAIN, Command

TINY = Recipe(
    model=ItemDecoderConfig(
        width=16, layers=1, heads=2, kv_heads=2, head_dim=8, mlp_dim=16, max_items=8
    ),
    train=TrainConfig(steps=4, batch_size=8, eval_every=4, eval_users=20, loss="legal"),
)


@pytest.mark.slow
def test_a_recipe_is_all_that_is_needed(
    trained: Path, genret: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "tiny-legal", TINY)
    assert genret("train", trained, "--recipe", "tiny-legal").status == 0
    manifest = json.loads((trained / "model/manifest.json").read_text())
    assert manifest["config"]["recipe"] == "tiny-legal"
    assert manifest["config"]["train"] == TINY.train.to_dict()
    # A model that was trained over the children in the trie is searched so.
    assert load_model(trained / "model").config.normalize == "catalog"
    beams = json.loads(genret("evaluate", trained, "--beams", "60", "--json").out)["model"]
    exact = json.loads(genret("evaluate", trained, "--exact", "--json").out)["model"]
    assert beams["recall@10"] == exact["recall@10"]
    unknown = genret("train", trained, "--recipe", "tiny-legall")
    assert unknown.status == 2
    assert "did you mean 'tiny-legal'?" in " ".join(unknown.err.split())
    both = genret("train", trained, "--recipe", "tiny-legal", "--preset", "tiny")
    assert "--recipe: found with --preset" in " ".join(both.err.split())


@pytest.mark.slow
def test_what_is_read_beside_codes_goes_through_all_verbs(trained: Path, genret: Command) -> None:
    beside = ("--item-ids", "--item-vectors", "--user-buckets", "8", "--time-buckets", "12")
    done = genret("train", trained, *TINY_MODEL, *TINY_TRAIN, *beside)
    assert done.status == 0, done.err
    config = load_model(trained / "model").config
    assert (config.num_items, config.vector_dim) == (40, 16)
    assert genret("evaluate", trained, "--beams", "20", "--bootstrap", "20").status == 0
    for who in (("--user", "7"), ("--history", "1", "2")):
        answered = genret("recommend", trained, *who, "--json")
        assert answered.status == 0, answered.err
        assert len(json.loads(answered.out)["recommendations"]) == 10


@pytest.mark.slow
def test_a_warm_start_begins_with_the_trained_model(trained: Path, genret: Command) -> None:
    first = json.loads((trained / "model/manifest.json").read_text())["fingerprint"]
    warm = ("--warm-start", trained, "--shrink", "0.9", "--perturb", "0.1")
    assert genret("train", trained, *TINY_MODEL, *TINY_TRAIN, *warm).status == 0
    config = json.loads((trained / "model/manifest.json").read_text())["config"]
    assert (config["warm_start"], config["shrink"], config["perturb"]) == (first, 0.9, 0.1)
    other = genret("train", trained, "--preset", "tiny", "--warm-start", trained)
    assert other.status == 2
    assert "the trained model has another architecture" in " ".join(other.err.split())
    nothing = genret("train", trained, "--preset", "tiny", "--warm-start", trained / "codes")
    assert nothing.status == 2


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_complete(name: str) -> None:
    """They can be written, and read again as they are."""
    recipe = RECIPES[name]
    assert ModelConfig.from_dict(recipe.model.to_dict()) == recipe.model
    assert TrainConfig.from_dict(recipe.train.to_dict()) == recipe.train
    assert recipe.model.codes_per_level == ()
    assert dataclasses.replace(recipe.train, steps=1).steps == 1
