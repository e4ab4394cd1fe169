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
    latent_positions: int = 0
    """Positions that the decoder of an item's codes computes before the first code: learned inputs, and
    nothing is read off them."""
    dense_head: bool = False
    """A second head scores every item by an inner product with its vector; rankings fuse both heads."""
    dense_share: float = 0.5
    """dense_head: its weight in a ranking, 0 to 1; training chooses it on the validation split."""
    dense_layers: int = 0
    """dense_head: last blocks over the history that the head has for itself; both heads share the
    blocks below."""
    dense_items: bool = False
    """dense_head: it scores items by learned vectors of its own, added to those that histories are
    read as; items that training did not know have none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "code_layers")
        require_counts(self, "code_width", "latent_positions", "dense_layers", least=0)
        require(
            self.dense_layers <= self.layers,
            f"dense_layers: found {self.dense_layers}, expected at most layers {self.layers}",
        )
        for name in ("dense_layers", "dense_items"):
            require(
                self.dense_head or not getattr(self, name),
                f"{name}: found {getattr(self, name)} without dense_head",
            )
        require(
            0 <= self.dense_share <= 1,
            f"dense_share: found {self.dense_share}, expected 0 to 1",
        )
