"""Architecture of SASRec."""

import dataclasses

from genret.config._base import require
from genret.config.models._base import ModelConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class SASRecModelConfig(ModelConfig, kind="sasrec"):
    """The baseline whose one code is the item itself."""

    low_pass_share: float = 0.0
    """Share of a frequency filter beside attention, 0 to 1 (BSARec's alpha); 0: attention alone."""
    low_pass_frequencies: int = 3
    """low_pass_share: lowest frequencies of the window that the filter counts as slow, the constant
    one among them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            0 <= self.low_pass_share <= 1,
            f"low_pass_share: found {self.low_pass_share}, expected 0 to 1",
        )
        require(
            1 <= self.low_pass_frequencies <= (self.max_items + 1) // 2 + 1,
            f"low_pass_frequencies: found {self.low_pass_frequencies}, expected 1 to "
            f"{(self.max_items + 1) // 2 + 1}, those of {self.max_items + 1} positions",
        )
        require(
            len(self.codes_per_level) <= 1,
            f"codes_per_level: found {len(self.codes_per_level)} levels, expected one for kind "
            "'sasrec': the number of items",
        )
        require(
            self.width % self.heads == 0,
            f"heads: found {self.heads}, expected a divisor of width {self.width}",
        )
