"""Configuration of the baselines."""

import dataclasses
from typing import Literal

from genret.config._base import Config, require, require_counts, require_finite
from genret.config._train import TrainConfig
from genret.config.models import SASRecModelConfig

_VALIDATIONS = 16
"""Validations of a training run: rare enough to cost little, often enough to find the best."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SASRecConfig(Config):
    """SASRec, trained with the cross-entropy over all items or over a sample.

    The defaults were chosen on the validation split of Amazon Office; docs/evaluation.md lists what
    was tried.
    """

    width: int = 128
    """Width of the item embeddings and of the blocks."""
    layers: int = 2
    """Blocks."""
    heads: int = 2
    """Attention heads."""
    mlp_dim: int = 128
    """Width of the MLP."""
    dropout: float = 0.5
    """Dropout of embeddings, residual branches and the MLP, in training."""
    max_items: int = 50
    """Longest history, in items."""
    epochs: int = 80
    """Passes over the training events."""
    batch_size: int = 32
    """Rows of max_items + 1 positions in a batch, each filled with several histories."""
    loss: Literal["full", "sampled", "gbce"] = "full"
    """Cross-entropy over all items, over a sample of them, or gBCE over a sample (gSASRec)."""
    negatives: int = 256
    """sampled, gbce: items drawn in each step; sampled draws them by popularity."""
    gbce_calibration: float = 0.75
    """gbce: see TrainConfig."""
    learning_rate: float = 3e-3
    """Peak of the learning rate."""
    weight_decay: float = 0.01
    """AdamW's decoupled decay of the matrices."""
    low_pass_share: float = 0.0
    """Share of BSARec's frequency filter beside attention; 0 is SASRec."""
    low_pass_frequencies: int = 3
    """low_pass_share: lowest frequencies that the filter counts as slow."""

    def __post_init__(self) -> None:
        require_counts(
            self, "width", "layers", "heads", "mlp_dim", "max_items", "epochs", "batch_size",
            "negatives",
        )  # fmt: skip
        require_finite(self, "learning_rate", positive=True)
        require_finite(self, "weight_decay")
        require(
            0 <= self.dropout < 1,
            f"dropout: found {self.dropout}, expected 0 or more and less than 1",
        )
        require(
            0 <= self.gbce_calibration <= 1,
            f"gbce_calibration: found {self.gbce_calibration}, expected 0 to 1",
        )
        self.model(1)

    def model(self, num_items: int) -> SASRecModelConfig:
        """Return the architecture for a catalog.

        >>> SASRecConfig().model(12).codes_per_level
        (12,)
        """
        return SASRecModelConfig(
            codes_per_level=(num_items,),
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            mlp_dim=self.mlp_dim,
            max_items=self.max_items,
            dropout=self.dropout,
            low_pass_share=self.low_pass_share,
            low_pass_frequencies=self.low_pass_frequencies,
        )

    def training(self, events: int) -> TrainConfig:
        """Return the optimization for a number of training events.

        >>> SASRecConfig(epochs=10, batch_size=2, max_items=9).training(200).steps
        100
        """
        config = TrainConfig(epochs=float(self.epochs), batch_size=self.batch_size)
        steps = config.for_events(events, self.max_items + 1).steps
        every = max(1, steps // _VALIDATIONS)
        return TrainConfig(
            steps=steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            eval_every=every,
            eval_users=5000,
            patience=5,
            checkpoint_every=every,
            log_every=every,
            loss="level" if self.loss == "full" else self.loss,
            sampled_codes=self.negatives,
            sampled_from="popularity" if self.loss == "sampled" else "uniform",
            gbce_calibration=self.gbce_calibration,
        )


BSAREC = SASRecConfig(low_pass_share=0.7, low_pass_frequencies=3)
"""BSARec: SASRec's settings with the filter, whose share and frequencies are the authors' for Beauty
(alpha .7, c 5, which keeps three frequencies)."""
