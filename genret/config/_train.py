"""Configuration of the training."""

import dataclasses
from typing import Literal

from genret.config._base import Config, require


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """Optimisation."""

    steps: int = 2000
    """Optimiser steps at most."""
    batch_size: int = 64
    """Rows of a batch; a row holds max_items positions, filled with one history or several."""
    packing: Literal["pack", "bucket", "pad"] = "pack"
    """Several histories in a row, rows of a few lengths, or one padded history a row."""
    learning_rate: float = 3e-3
    """Peak of the learning rate."""
    warmup: float = 0.05
    """Share of the steps with a linearly rising learning rate; a cosine follows."""
    weight_decay: float = 0.01
    """AdamW's decoupled decay of the matrices (not of norms and biases)."""
    clip: float = 1.0
    """Global norm to which gradients are clipped."""
    eval_every: int = 200
    """Steps between validations."""
    eval_users: int = 1000
    """Users of a validation (the first ones in a seeded order); 0 takes all."""
    patience: int = 5
    """Validations without a better NDCG@10 after which training stops; 0 never stops early."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    log_every: int = 50
    """Steps between lines of metrics."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "eval_every", "checkpoint_every", "log_every"):
            require(
                getattr(self, name) >= 1,
                f"{name}: found {getattr(self, name)}, expected at least 1",
            )
        require(
            self.learning_rate > 0,
            f"learning_rate: found {self.learning_rate}, expected more than 0",
        )
        require(
            0 <= self.warmup < 1, f"warmup: found {self.warmup}, expected 0 or more and less than 1"
        )
        require(self.clip > 0, f"clip: found {self.clip}, expected more than 0")
