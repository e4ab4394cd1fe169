"""Models that spell an item's codes from a history, behind one protocol."""

# What a model reads and keeps
from genret.models._cache import Cache
from genret.models._capabilities import Capabilities, capabilities_of

# Models
from genret.models._code_scores import CodeScores
from genret.models._decoder_only import DecoderOnly, LanguageModel
from genret.models._dense_head import DenseHead
from genret.models._encoder_decoder import T5, EncoderDecoder
from genret.models._features import FROZEN, SideFeatures
from genret.models._history import History
from genret.models._item_decoder import ItemDecoder
from genret.models._layers import readout, rematerializing
from genret.models._one_pass import OnePass
from genret.models._prompted import Prompted, PromptedDecoder
from genret.models._prompted_t5 import PromptedEncoderDecoder
from genret.models._prompts import Prompts

# Making, saving and loading them
from genret.models._registry import PRESETS, Model, build_model, num_parameters
from genret.models._rpg import RPG
from genret.models._sasrec import SASRec
from genret.models._store import load_model, save_model
from genret.models._transitions import Transitions
from genret.models._transitions_store import load_transitions, save_transitions

__all__ = [
    "FROZEN",
    "PRESETS",
    "RPG",
    "T5",
    "Cache",
    "Capabilities",
    "CodeScores",
    "DecoderOnly",
    "DenseHead",
    "EncoderDecoder",
    "History",
    "ItemDecoder",
    "LanguageModel",
    "Model",
    "OnePass",
    "Prompted",
    "PromptedDecoder",
    "PromptedEncoderDecoder",
    "Prompts",
    "SASRec",
    "SideFeatures",
    "Transitions",
    "build_model",
    "capabilities_of",
    "load_model",
    "load_transitions",
    "num_parameters",
    "readout",
    "rematerializing",
    "save_model",
    "save_transitions",
]
