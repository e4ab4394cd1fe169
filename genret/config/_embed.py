"""Configuration of the item vectors."""

import dataclasses

from genret.config._base import Config, require, require_counts, require_finite


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbedConfig(Config):
    """How item vectors are made when none are brought."""

    text_columns: tuple[str, ...] = ()
    """Columns of the items that are read as text; empty takes every column of text, title first."""
    text_dim: int = 64
    """Width of the text part; 0 leaves it out."""
    cooccurrence_dim: int = 64
    """Width of the part from items that occur together in training histories; 0 leaves it out."""
    cooccurrence_window: int = 10
    """Two items of a training history count as together up to this many positions apart."""
    text_weight: float = 1.0
    """Weight of the text part, whose rows have unit length before."""
    cooccurrence_weight: float = 1.0
    """Weight of the co-occurrence part, whose rows have unit length before."""
    whiten: float = 0.0
    """Divide each principal direction of the vectors by this power of its deviation: 0 leaves them,
    1 makes all directions vary alike. Items that are nearly alike then collide less."""
    pieces: int = 4000
    """Size of the sentencepiece vocabulary that is trained on the catalog (an upper bound)."""

    def __post_init__(self) -> None:
        require_counts(self, "text_dim", "cooccurrence_dim", least=0)
        require(
            self.text_dim + self.cooccurrence_dim > 0, "text_dim and cooccurrence_dim: both are 0"
        )
        require_finite(self, "text_weight", "cooccurrence_weight")
        require(0 <= self.whiten <= 1, f"whiten: found {self.whiten}, expected 0 to 1")
        require_counts(self, "cooccurrence_window")
        require_counts(self, "pieces", least=16)
