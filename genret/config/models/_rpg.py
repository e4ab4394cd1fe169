"""Architecture of RPG."""

import dataclasses

from genret.config._base import require_finite
from genret.config.models._parts import FeaturesConfig, RotaryConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class RPGConfig(FeaturesConfig, RotaryConfig, kind="rpg"):
    """One position an item, and a head a code: long semantic IDs whose codes have no order (RPG)."""

    temperature: float = 0.07
    """What the cosines of states and codes are divided by."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_finite(self, "temperature", positive=True)
