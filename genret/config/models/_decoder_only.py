"""Architecture of DecoderOnly."""

import dataclasses

from genret.config.models._parts import FeaturesConfig, RotaryConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderOnlyConfig(FeaturesConfig, RotaryConfig, kind="decoder_only"):
    """The flattened codes of a history through one transformer of the Llama and Qwen family."""
