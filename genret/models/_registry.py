"""Models by the name of their kind, and named architectures."""

import jax
from flax import nnx

from genret.config import ModelConfig
from genret.models._decoder_only import DecoderOnly
from genret.models._encoder_decoder import EncoderDecoder
from genret.models._item_decoder import ItemDecoder
from genret.models._one_pass import OnePass
from genret.models._sasrec import SASRec

Model = ItemDecoder | DecoderOnly | EncoderDecoder | OnePass | SASRec
"""Any of the models."""

KINDS: dict[str, type[Model]] = {
    "item_decoder": ItemDecoder,
    "decoder_only": DecoderOnly,
    "encoder_decoder": EncoderDecoder,
    "one_pass": OnePass,
    "sasrec": SASRec,
}

PRESETS = {
    "tiny": ModelConfig(width=64, code_width=64, layers=2, heads=2, kv_heads=2, mlp_dim=192),
    "small": ModelConfig(width=128, layers=2, heads=4, kv_heads=4, mlp_dim=384),
    "base": ModelConfig(width=256, layers=4, heads=8, kv_heads=8, mlp_dim=768, max_items=50),
    "large": ModelConfig(
        width=512,
        layers=8,
        code_layers=2,
        heads=8,
        kv_heads=8,
        head_dim=64,
        mlp_dim=1536,
        max_items=50,
    ),
    "xlarge": ModelConfig(
        width=768,
        layers=12,
        code_layers=2,
        heads=12,
        kv_heads=4,
        head_dim=64,
        mlp_dim=2560,
        max_items=100,
    ),
}
"""Architectures by name. As ItemDecoder with four levels of 256 codes they have 0.25 M, 0.7 M, 4.2 M,
31 M and 97 M parameters."""


def build_model(config: ModelConfig, seed: int) -> Model:
    """Make a model with initial parameters.

    Args:
      config: the architecture; ``codes_per_level`` must be filled.
      seed: seed of the parameters.

    Returns:
      The model.

    Raises:
      GenretError: the architecture is not complete.

    >>> config = ModelConfig(codes_per_level=(8, 4), width=16, heads=2, kv_heads=2, head_dim=8)
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
