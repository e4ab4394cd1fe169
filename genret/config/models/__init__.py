"""The architecture of each kind of model: a class a kind, without fields of the others."""

from genret.config.models._base import MODEL_KINDS, ModelConfig, model_config
from genret.config.models._decoder_only import DecoderOnlyConfig
from genret.config.models._encoder_decoder import EncoderDecoderConfig
from genret.config.models._item_decoder import ItemDecoderConfig
from genret.config.models._one_pass import OnePassConfig
from genret.config.models._parts import FeaturesConfig, RotaryConfig
from genret.config.models._rpg import RPGConfig
from genret.config.models._sasrec import SASRecModelConfig

__all__ = [
    "MODEL_KINDS",
    "DecoderOnlyConfig",
    "EncoderDecoderConfig",
    "FeaturesConfig",
    "ItemDecoderConfig",
    "ModelConfig",
    "OnePassConfig",
    "RPGConfig",
    "RotaryConfig",
    "SASRecModelConfig",
    "model_config",
]
