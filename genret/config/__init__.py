"""Frozen configurations of every stage, and how they become JSON and come back.

The command line is made from these classes: a field is an option, the text under it is its help.
"""

from genret.config._autoencoder import AutoencoderConfig
from genret.config._base import Config, require
from genret.config._baselines import SASRecConfig
from genret.config._data import ColumnsConfig, IngestConfig
from genret.config._embed import EmbedConfig
from genret.config._evaluate import EvaluateConfig
from genret.config._model import ModelConfig
from genret.config._recipes import RECIPES, Recipe, recipe
from genret.config._score import EngineConfig, ScoreConfig
from genret.config._tokenize import TokenizeConfig
from genret.config._train import TrainConfig

__all__ = [
    "RECIPES",
    "AutoencoderConfig",
    "ColumnsConfig",
    "Config",
    "EmbedConfig",
    "EngineConfig",
    "EvaluateConfig",
    "IngestConfig",
    "ModelConfig",
    "Recipe",
    "SASRecConfig",
    "ScoreConfig",
    "TokenizeConfig",
    "TrainConfig",
    "recipe",
    "require",
]
