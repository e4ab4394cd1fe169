"""Architecture of ItemDecoder."""

import dataclasses

from genret.config._base import require, require_counts
from genret.config.models._parts import FeaturesConfig, RotaryConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ItemDecoderConfig(FeaturesConfig, RotaryConfig, kind="item_decoder"):
    """Items as positions, and a small decoder that spells the codes of the next item."""

    code_layers: int = 1
    """Blocks of the decoder of an item's codes."""
    code_width: int = 0
    """Width of the decoder of an item's codes; 0 takes half of width."""
    dense_head: bool = False
    """A second head scores every item by an inner product with its vector; rankings fuse both heads."""
    dense_share: float = 0.5
    """dense_head: its weight in a ranking, 0 to 1; training chooses it on the validation split."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "code_layers")
        require_counts(self, "code_width", least=0)
        require(
            0 <= self.dense_share <= 1,
            f"dense_share: found {self.dense_share}, expected 0 to 1",
        )
