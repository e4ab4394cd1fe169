"""Configuration of the tokenizers that train networks."""

import dataclasses
from typing import Literal

from genret.config._base import Config, require, require_counts, require_finite


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderConfig(Config):
    """Encoder, decoder and their training, for rq_vae and fsq."""

    hidden: tuple[int, ...] = (256, 128)
    """Widths of the encoder's hidden layers; the decoder has them in the other order."""
    latent: int = 32
    """rq_vae: width of the codebooks."""
    training_steps: int = 1500
    """Steps of training."""
    training_batch: int = 1024
    """Vectors of a step."""
    learning_rate: float = 1e-3
    """Of AdamW at the start; it falls to 0 along a cosine."""
    weight_decay: float = 1e-4
    """Of AdamW."""
    gradients: Literal["straight_through", "rotation"] = "rotation"
    """rq_vae: how gradients pass the codes: copied, or turned and scaled with the code."""
    codebooks: Literal["ema", "loss"] = "ema"
    """rq_vae: codebooks follow moving means of what chose them, or a term of the loss."""
    commitment: float = 0.25
    """rq_vae: weight of the pull of the encoder's output to its codes."""
    sinkhorn: float = 0.05
    """rq_vae: balance the last level by optimal transport with this entropy (in units of the mean
    distance); 0 leaves it out."""
    contrast: float = 0.0
    """Weight of the pull between items that occur together in training histories (InfoNCE)."""
    temperature: float = 0.1
    """Of the softmax in that term."""

    def __post_init__(self) -> None:
        require_counts(self, "latent", "training_steps", "training_batch")
        require(
            all(width >= 1 for width in self.hidden),
            f"hidden: found {self.hidden}, expected widths of at least 1",
        )
        require_finite(self, "learning_rate", "temperature", positive=True)
        require_finite(self, "weight_decay", "commitment", "sinkhorn", "contrast")
