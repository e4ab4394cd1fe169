"""Fields that several kinds of models share."""

import dataclasses
from typing import Literal

from genret.config._base import require, require_counts, require_finite
from genret.config.models._base import ModelConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeaturesConfig(ModelConfig):
    """What a model reads of a history beside the codes of its items."""

    item_ids: bool = False
    """Each item of a history has a learned vector of its own beside its codes; items that training
    did not know have none."""
    item_vectors: bool = False
    """The vectors of vectors/ stand beside the codes of the items of a history."""
    num_items: int = 0
    """Items with a vector; filled from catalog/ where item_ids or item_vectors ask for it."""
    vector_dim: int = 0
    """Width of the items' vectors; filled from vectors/."""
    time_buckets: int = 0
    """Buckets of the time between an item and the one before it, which the model sees; 0: none."""
    user_buckets: int = 0
    """Vectors that users share by hash and with which a history starts; 0: none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "num_items", "vector_dim", "time_buckets", "user_buckets", least=0)
        for name in ("time_buckets", "user_buckets"):
            value = getattr(self, name)
            require(value == 0 or value >= 2, f"{name}: found {value}, expected 0 or at least 2")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RotaryConfig(ModelConfig):
    """Attention of the Llama and Qwen family: grouped queries and rotary positions."""

    kv_heads: int = 4
    """Key/value heads (grouped-query attention when fewer than heads)."""
    head_dim: int = 32
    """Width of a head."""
    rope_theta: float = 10000.0
    """Base of the rotary position embedding."""
    rope_scaling: tuple[float, ...] = ()
    """Longer contexts: none, FACTOR (linear), or FACTOR LOW HIGH LENGTH (Llama 3)."""
    qk_norm: bool = True
    """RMS-normalize queries and keys (Qwen3)."""
    qkv_bias: bool = False
    """Biases in the query, key and value projections (Qwen2)."""

    attention: Literal["xla", "pallas_tpu", "pallas_gpu"] = "xla"
    """What attends over the history of a request for all of its beams: XLA, or a kernel for TPU or
    GPU (genret_kernels)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "kv_heads", "head_dim")
        require_finite(self, "rope_theta", positive=True)
        require(
            self.heads % self.kv_heads == 0,
            f"kv_heads: found {self.kv_heads}, expected a divisor of heads {self.heads}",
        )
        require(
            self.head_dim % 2 == 0,
            f"head_dim: found {self.head_dim}, expected an even number (rotary pairs)",
        )
        require(
            len(self.rope_scaling) in (0, 1, 4) and all(v > 0 for v in self.rope_scaling),
            f"rope_scaling: found {self.rope_scaling}, expected none, 1 or 4 positive numbers",
        )
        require(
            len(self.rope_scaling) != 4 or self.rope_scaling[1] < self.rope_scaling[2],
            f"rope_scaling: found {self.rope_scaling}, expected the second below the third",
        )
