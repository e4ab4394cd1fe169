"""Architecture of EncoderDecoder."""

import dataclasses

from genret.config._base import require, require_counts
from genret.config.models._parts import FeaturesConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig(FeaturesConfig, kind="encoder_decoder"):
    """TIGER: a T5 whose encoder reads the codes of a history; ``layers`` are the encoder's."""

    code_layers: int = 1
    """Blocks of the decoder of an item's codes."""
    head_dim: int = 32
    """Width of a head."""
    gated_mlp: bool = False
    """The gated MLP of T5 1.1 instead of T5's ReLU."""
    relative_buckets: int = 32
    """Buckets of the relative position bias."""
    relative_distance: int = 128
    """Distance in tokens from which on all positions share a bucket."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "code_layers", "head_dim", "relative_distance")
        require(
            self.relative_buckets >= 4 and self.relative_distance > self.relative_buckets,
            f"relative_buckets: found {self.relative_buckets}, expected at least 4 and fewer than "
            f"relative_distance {self.relative_distance}",
        )
