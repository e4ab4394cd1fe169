"""Models by the name of their kind, and named architectures."""

from collections.abc import Callable

import jax
from flax import nnx

from genret.config import MODEL_PRESETS, ModelConfig
from genret.models._decoder_only import DecoderOnly
from genret.models._encoder_decoder import EncoderDecoder
from genret.models._item_decoder import ItemDecoder
from genret.models._one_pass import OnePass
from genret.models._rpg import RPG
from genret.models._sasrec import SASRec

Model = ItemDecoder | DecoderOnly | EncoderDecoder | OnePass | RPG | SASRec
"""Any of the models."""

KINDS: dict[str, Callable[..., Model]] = {
    "item_decoder": ItemDecoder,
    "decoder_only": DecoderOnly,
    "encoder_decoder": EncoderDecoder,
    "one_pass": OnePass,
    "rpg": RPG,
    "sasrec": SASRec,
}
"""The class of each kind of model; each takes the configuration of its kind and ``rngs``."""

PRESETS = MODEL_PRESETS
"""Architectures by name."""


def build_model(config: ModelConfig, seed: int) -> Model:
    """Make a model with initial parameters.

    Args:
      config: the architecture; ``codes_per_level`` must be filled.
      seed: seed of the parameters.

    Returns:
      The model.

    Raises:
      GenretError: the architecture is not complete.

    >>> from genret.config import ItemDecoderConfig
    >>> config = ItemDecoderConfig(codes_per_level=(8, 4), width=16, heads=2, kv_heads=2, head_dim=8)
    >>> type(build_model(config, seed=0)).__name__
    'ItemDecoder'
    """
    return KINDS[config.kind](config, rngs=nnx.Rngs(seed))


def num_parameters(model: nnx.Module) -> int:
    """Return the number of parameters of a model, or of its shapes from ``jax.eval_shape``.

    >>> import dataclasses
    >>> config = dataclasses.replace(PRESETS["xlarge"], codes_per_level=(256,) * 4)
    >>> f"{num_parameters(jax.eval_shape(lambda: build_model(config, 0))) / 1e6:.0f} million"
    '97 million'
    """
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
