"""Configuration of the evaluation."""

import dataclasses
from typing import Literal

from genret.config._base import MOST, Config, require, require_counts, require_finite


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Config):
    """Evaluation over the whole catalog."""

    split: Literal["valid", "test"] = "test"
    """Which held-out items."""
    k: tuple[int, ...] = (5, 10, 20)
    """Cut-offs of the metrics."""
    beams: int = 50
    """Beams of the search; at least the largest cut-off."""
    exact: bool = False
    """Score every item instead of searching with beams: for catalogs of some ten thousand."""
    exclude_seen: bool = True
    """Forbid the items of the history, for every method alike (inside the beam)."""
    explore: float = 0.0
    """Rank the items of the beams by Thompson sampling, the model's word being worth so many people; 0:
    by the model alone."""
    users: int = 0
    """Users to evaluate (the first ones in a seeded order); 0 takes all."""
    batch_size: int = 128
    """Users in a batch."""
    bootstrap: int = 1000
    """Resamples of the 95 % intervals."""

    def __post_init__(self) -> None:
        require(
            bool(self.k) and 1 <= min(self.k) <= max(self.k) <= MOST,
            f"k: found {self.k}, expected positive cut-offs",
        )
        require(
            self.exact or self.beams >= max(self.k),
            f"beams: found {self.beams}, expected at least the largest k, {max(self.k)}",
        )
        require_counts(self, "batch_size", "beams")
        require_counts(self, "users", "bootstrap", least=0)
        require_finite(self, "explore")
