"""Frozen configurations of every stage, and how they become JSON and come back.

The command line is made from these classes: a field is an option, the text under it is its help.
"""

from genret.config._autoencoder import AutoencoderConfig
from genret.config._base import Config, require
from genret.config._baselines import BSAREC, SASRecConfig
from genret.config._data import ColumnsConfig, IngestConfig
from genret.config._embed import EmbedConfig
from genret.config._evaluate import EvaluateConfig
from genret.config._export import ExportConfig
from genret.config._mesh import MESH_AXES, NO_MESH, mesh_axes
from genret.config._presets import MODEL_PRESETS
from genret.config._processes import FOUND_BY_JAX, ProcessesConfig
from genret.config._recipes import RECIPES, Recipe, recipe
from genret.config._score import EngineConfig, ScoreConfig
from genret.config._serve import ServeConfig
from genret.config._source import SourceConfig
from genret.config._tokenize import TokenizeConfig
from genret.config._tokenizer_presets import TOKENIZER_PRESETS, tokenizer_preset
from genret.config._train import TrainConfig
from genret.config._train_engine import TrainEngineConfig
from genret.config.models import (
    MODEL_KINDS,
    DecoderOnlyConfig,
    EncoderDecoderConfig,
    FeaturesConfig,
    ItemDecoderConfig,
    ModelConfig,
    OnePassConfig,
    RotaryConfig,
    RPGConfig,
    SASRecModelConfig,
    model_config,
)

__all__ = [
    "BSAREC",
    "FOUND_BY_JAX",
    "MESH_AXES",
    "MODEL_KINDS",
    "MODEL_PRESETS",
    "NO_MESH",
    "RECIPES",
    "TOKENIZER_PRESETS",
    "AutoencoderConfig",
    "ColumnsConfig",
    "Config",
    "DecoderOnlyConfig",
    "EmbedConfig",
    "EncoderDecoderConfig",
    "EngineConfig",
    "EvaluateConfig",
    "ExportConfig",
    "FeaturesConfig",
    "IngestConfig",
    "ItemDecoderConfig",
    "ModelConfig",
    "OnePassConfig",
    "ProcessesConfig",
    "RPGConfig",
    "Recipe",
    "RotaryConfig",
    "SASRecConfig",
    "SASRecModelConfig",
    "ScoreConfig",
    "ServeConfig",
    "SourceConfig",
    "TokenizeConfig",
    "TrainConfig",
    "TrainEngineConfig",
    "mesh_axes",
    "model_config",
    "recipe",
    "require",
    "tokenizer_preset",
]
