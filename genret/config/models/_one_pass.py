"""Architecture of OnePass."""

import dataclasses

from genret.config.models._parts import FeaturesConfig, RotaryConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnePassConfig(FeaturesConfig, RotaryConfig, kind="one_pass"):
    """Flattened codes that give all codes of the next item in one pass (RecGPT)."""
