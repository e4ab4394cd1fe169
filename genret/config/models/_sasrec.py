"""Architecture of SASRec."""

import dataclasses

from genret.config._base import require
from genret.config.models._base import ModelConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class SASRecModelConfig(ModelConfig, kind="sasrec"):
    """The baseline whose one code is the item itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(self.codes_per_level) <= 1,
            f"codes_per_level: found {len(self.codes_per_level)} levels, expected one for kind "
            "'sasrec': the number of items",
        )
        require(
            self.width % self.heads == 0,
            f"heads: found {self.heads}, expected a divisor of width {self.width}",
        )
