"""Model options: the fields of all kinds of models together, and the architecture they select."""

import dataclasses
from collections.abc import Collection
from typing import Annotated, Any, Literal

from genret.cli.base import NO_OPTION
from genret.config import (
    MODEL_PRESETS,
    Config,
    EncoderDecoderConfig,
    ItemDecoderConfig,
    ModelConfig,
    Recipe,
    RPGConfig,
    SASRecModelConfig,
    TrainConfig,
    model_config,
    require,
)
from genret.config import recipe as find_recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions(ItemDecoderConfig, EncoderDecoderConfig, RPGConfig, SASRecModelConfig):
    """The fields of all kinds of models, for one command line.

    This is not an architecture; :meth:`chosen` makes one from the options that were given.
    """

    kind: Literal[  # type: ignore[misc]
        "item_decoder", "decoder_only", "encoder_decoder", "one_pass", "rpg", "sasrec"
    ] = "item_decoder"
    """Items as positions and a small code decoder; flattened codes (Llama/Qwen); TIGER (T5); flattened
    codes that give all codes of the next item in one pass (RecGPT); items as positions and a head for
    each of many codes without an order (RPG); or the baseline whose one code is the item itself."""
    codes_per_level: Annotated[tuple[int, ...], *NO_OPTION] = ()
    num_items: Annotated[int, *NO_OPTION] = 0
    vector_dim: Annotated[int, *NO_OPTION] = 0

    def __post_init__(self) -> None:
        """Check nothing; the chosen kind checks its own fields."""

    def given(self, names: Collection[str]) -> dict[str, Any]:
        """Return the fields of the given names, except the kind."""
        return {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name in names and f.name != "kind"
        }

    def chosen(self, names: Collection[str]) -> ModelConfig:
        """Return the architecture of the kind, with the fields that were given.

        Raises:
          GenretError: a field that the kind does not have, or a value out of range.
        """
        return model_config(self.kind, **self.given(names))


def choose(
    preset: str | None,
    recipe: str | None,
    model: ModelOptions,
    train: TrainConfig,
    given: Collection[str],
) -> tuple[Recipe, str]:
    """Return the architecture and the optimization that a command line asks for.

    Args:
      preset: name of an architecture.
      recipe: name of an architecture and an optimization.
      model: the options of the model.
      train: the options of the training.
      given: names of the options that were given; all others come from the preset or recipe.

    Returns:
      Both, and a line that describes them; empty without a preset or recipe.

    Raises:
      GenretError: an unknown name, both names, or an option that the kind of model does not have.
    """
    require(preset is None or recipe is None, "--recipe: found with --preset, expected one of them")
    optimization = {f.name: getattr(train, f.name) for f in dataclasses.fields(train)}
    optimization = {name: value for name, value in optimization.items() if name in given}
    if "steps" in given and "epochs" not in given:
        optimization["epochs"] = 0.0
    if recipe is not None:
        base = find_recipe(recipe)
        require(
            "kind" not in given or model.kind == base.model.kind,
            f"--kind: found {model.kind!r} with --recipe {recipe}, which is of kind "
            f"{base.model.kind!r}",
        )
        architecture = base.model.as_kind(base.model.kind, **model.given(given))
        chosen = Recipe(model=architecture, train=dataclasses.replace(base.train, **optimization))
        changes = [*_changes(base.model, chosen.model), *_changes(base.train, chosen.train)]
        return chosen, _told(f"recipe {recipe}", changes)
    if preset is not None:
        known = ", ".join(MODEL_PRESETS)
        require(preset in MODEL_PRESETS, f"--preset: found {preset!r}, expected one of {known}")
        usual = MODEL_PRESETS[preset].as_kind(model.kind)
        architecture = usual.as_kind(model.kind, **model.given(given))
        return Recipe(model=architecture, train=train), _told(
            f"preset {preset}", _changes(usual, architecture)
        )
    return Recipe(model=model.chosen(given), train=train), ""


def _changes(base: Config, chosen: Config) -> list[str]:
    """Return a description of each field in which two configurations of a class differ."""
    return [
        f"{name} {value} instead of {getattr(base, name)}"
        for name, value in vars(chosen).items()
        if value != getattr(base, name)
    ]


def _told(name: str, changes: list[str]) -> str:
    return f"{name}, but {', '.join(changes)}" if changes else name
