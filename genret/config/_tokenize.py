"""Configuration of the tokenizer."""

import dataclasses
from typing import Literal

from genret.config._base import Config, require


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizeConfig(Config):
    """Residual k-means over item vectors."""

    levels: int = 3
    """Residual levels: codes of an item before a collision suffix."""
    codebook_size: int = 0
    """Codes of each level; 0 takes 256, or fewer for a small catalogue."""
    collisions: Literal["suffix", "keep"] = "suffix"
    """Items with equal codes: tell them apart by one more code, or let them share a leaf."""
    iterations: int = 50
    """Lloyd iterations (passes over the vectors) of each level."""
    batch_size: int = 65536
    """Vectors in a mini-batch; catalogues up to this size use full batches."""

    def __post_init__(self) -> None:
        require(1 <= self.levels <= 63, f"levels: found {self.levels}, expected 1 to 63")
        require(
            self.codebook_size == 0 or self.codebook_size >= 2,
            f"codebook_size: found {self.codebook_size}, expected 0 or at least 2",
        )
        require(self.iterations >= 1, f"iterations: found {self.iterations}, expected at least 1")
        require(self.batch_size >= 1, f"batch_size: found {self.batch_size}, expected at least 1")
