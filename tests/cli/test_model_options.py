"""Which model a command line asks for: kinds, presets, recipes, and options beside them."""

import pytest

from genret.cli.base import names_given, parse
from genret.cli.model_options import ModelOptions, choose
from genret.cli.train import Train
from genret.config import (
    MODEL_KINDS,
    RECIPES,
    EncoderDecoderConfig,
    ItemDecoderConfig,
    Recipe,
    TrainConfig,
)
from genret.errors import GenretError
from genret.models import PRESETS


def asked(*words: str) -> tuple[Recipe, str]:
    verb = parse({"train": Train, "other": Train}, ["train", "runs/x", *words])
    assert isinstance(verb, Train)
    return choose(verb.preset, verb.recipe, verb.model, verb.train, verb.given)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_every_kind_is_reached_with_its_own_defaults(kind: str) -> None:
    if kind == "sasrec":  # three levels are none of its
        assert asked("--kind", kind, "--width", "64")[0].model.width == 64
    found, told = asked("--kind", kind)
    assert (found.model, told) == (MODEL_KINDS[kind](), "")
    assert found.train == TrainConfig()


def test_options_reach_the_architecture() -> None:
    found, _ = asked("--width", "64", "--code-width", "32", "--no-qk-norm", "--steps", "9")
    assert found.model == ItemDecoderConfig(width=64, code_width=32, qk_norm=False)
    assert found.train.steps == 9
    found, _ = asked("--kind", "encoder_decoder", "--gated-mlp")
    assert found.model == EncoderDecoderConfig(gated_mlp=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kind", "decoder_only", "--code-width", "8"), "code_width: .* 'decoder_only' has none"),
        (("--kind", "sasrec", "--kv-heads", "4"), "kv_heads: .* this one is for decoder_only"),
        # Also where it is what the option says anyway.
        (("--kind", "encoder_decoder", "--no-qkv-bias"), "qkv_bias: .* has none"),
        (("--recipe", "office", "--gated-mlp"), "gated_mlp: .* this one is for encoder_decoder"),
        (("--recipe", "office", "--kind", "sasrec"), "--kind: found 'sasrec' with --recipe office"),
        (("--recipe", "office", "--preset", "tiny"), "--recipe: found with --preset"),
        (("--recipe", "offise"), "did you mean 'office'"),
        (("--preset", "huge"), "--preset: found 'huge', expected one of tiny, small"),
        (("--heads", "3", "--kv-heads", "2"), "kv_heads: found 2, expected a divisor of heads 3"),
    ],
)
def test_what_does_not_apply_is_refused_by_name(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(GenretError, match=message):
        asked(*words)


def test_an_option_beside_a_recipe_counts_and_is_told() -> None:
    beauty = RECIPES["beauty"]
    assert asked("--recipe", "beauty") == (beauty, "recipe beauty")
    found, told = asked("--recipe", "beauty", "--steps", "2000")
    assert told == "recipe beauty, but steps 2000 instead of 4800"
    assert found.train.steps == 2000
    assert found.model == beauty.model
    # 0.1 is the default of the option, and not what the recipe says.
    found, told = asked("--recipe", "beauty", "--dropout", "0.1")
    assert told == "recipe beauty, but dropout 0.1 instead of 0.3"
    assert found.model.dropout == 0.1
    _, told = asked("--recipe", "beauty", "--steps", "4800")
    assert told == "recipe beauty"


def test_steps_count_where_a_recipe_asks_for_epochs() -> None:
    assert asked("--recipe", "hybrid")[0].train.for_events(43_448, 21).steps == 1400
    found, told = asked("--recipe", "hybrid", "--steps", "7")
    assert found.train.for_events(43_448, 21).steps == 7
    assert told == "recipe hybrid, but steps 7 instead of 1700, epochs 0.0 instead of 43.3"
    found, told = asked("--recipe", "hybrid", "--epochs", "2")
    assert found.train.for_events(43_448, 21).steps == 65
    assert told == "recipe hybrid, but epochs 2.0 instead of 43.3"


def test_an_option_beside_a_preset_counts_and_is_told() -> None:
    found, told = asked("--preset", "small", "--layers", "3", "--kind", "decoder_only")
    assert told == "preset small, but layers 3 instead of 2"
    assert found.model == PRESETS["small"].as_kind("decoder_only", layers=3)


@pytest.mark.parametrize("option", ["--codes-per-level", "--num-items", "--vector-dim"])
def test_what_a_run_fills_in_is_no_option(option: str) -> None:
    with pytest.raises(GenretError, match=f"^{option}: is no option of `genret train`"):
        asked(option, "3")


def test_every_field_of_every_kind_is_an_option() -> None:
    names = set(vars(ModelOptions()))
    for cls in MODEL_KINDS.values():
        assert set(vars(cls())) <= names
        for name, value in vars(cls()).items():
            assert getattr(ModelOptions(), name) == value
    assert names_given(["--a-b", "-x", "c", "--d=--e"]) == {"a_b", "d"}
