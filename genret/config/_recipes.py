"""Recipes: frozen architectures and optimisations whose figures are known."""

import dataclasses
import difflib

from genret.config._base import require
from genret.config._model import ModelConfig
from genret.config._train import TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """An architecture and an optimisation that belong together."""

    model: ModelConfig
    """The architecture; what the data say (codes, items) is filled when it is used."""
    train: TrainConfig
    """The optimisation."""


_ITEMS = ModelConfig(
    width=64, code_width=64, heads=2, kv_heads=2, mlp_dim=192, max_items=20, dropout=0.3
)
_TRAIN = TrainConfig(
    steps=1700, learning_rate=3e-3, eval_every=170, eval_users=0, exclude_seen=False, patience=0
)

OFFICE = Recipe(model=_ITEMS, train=_TRAIN)

RECIPES = {"office": OFFICE}
"""Recipes by the name that ``genret train --recipe`` takes."""


def recipe(name: str) -> Recipe:
    """Return a recipe by its name.

    Raises:
      GenretError: there is none of that name.

    >>> recipe("office").train.steps > 0
    True
    """
    close = difflib.get_close_matches(name, RECIPES, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    require(
        name in RECIPES,
        f"--recipe: found {name!r}, expected one of {', '.join(RECIPES)}{hint}",
    )
    return RECIPES[name]
