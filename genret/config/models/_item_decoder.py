"""Architecture of ItemDecoder."""

import dataclasses

from genret.config._base import require_counts
from genret.config.models._parts import FeaturesConfig, RotaryConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ItemDecoderConfig(FeaturesConfig, RotaryConfig, kind="item_decoder"):
    """Items as positions, and a small decoder that spells the codes of the next item."""

    code_layers: int = 1
    """Blocks of the decoder of an item's codes."""
    code_width: int = 0
    """Width of the decoder of an item's codes; 0 takes half of width."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "code_layers")
        require_counts(self, "code_width", least=0)
