"""Configuration of the models."""

import dataclasses
from typing import Literal

from genret.config._base import Config, require


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """Architecture of a model; the code counts come from the tokenizer.

    Attributes:
      codes_per_level: codes of each level, [L].
    """

    kind: Literal["item_decoder", "decoder_only", "encoder_decoder", "one_pass", "sasrec"] = (
        "item_decoder"
    )
    """Items as positions and a small code decoder; flattened codes (Llama/Qwen); TIGER (T5); flattened
    codes that give all codes of the next item in one pass (RecGPT); or the baseline whose one code is
    the item itself."""
    codes_per_level: tuple[int, ...] = ()
    """Codes of each level; filled from codes/."""
    width: int = 128
    """Width of the residual stream."""
    layers: int = 2
    """Blocks over the history."""
    code_layers: int = 1
    """item_decoder, encoder_decoder: blocks of the decoder of an item's codes."""
    code_width: int = 0
    """item_decoder: width of the code decoder; 0 takes half of width."""
    heads: int = 4
    """Query heads."""
    kv_heads: int = 4
    """Key/value heads (grouped-query attention when fewer than heads)."""
    head_dim: int = 32
    """Width of a head."""
    mlp_dim: int = 384
    """Width of the gated MLP."""
    max_items: int = 20
    """Longest history, in items; older items are cut."""
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
    dropout: float = 0.1
    """Dropout of the residual branches and the embeddings, in training."""
    rope_theta: float = 10000.0
    """Base of the rotary position embedding."""
    rope_scaling: tuple[float, ...] = ()
    """Longer contexts: none, FACTOR (linear), or FACTOR LOW HIGH LENGTH (Llama 3)."""
    qk_norm: bool = True
    """RMS-normalize queries and keys (Qwen3)."""
    qkv_bias: bool = False
    """Biases in the query, key and value projections (Qwen2)."""
    norm_eps: float = 1e-6
    """Epsilon of RMSNorm."""
    tie_embeddings: bool = True
    """The output embedding is the input embedding."""
    gated_mlp: bool = False
    """encoder_decoder: the gated MLP of T5 1.1 instead of T5's ReLU."""
    relative_buckets: int = 32
    """encoder_decoder: buckets of the relative position bias."""
    relative_distance: int = 128
    """encoder_decoder: distance in tokens from which on all share a bucket."""
    normalize: Literal["level", "catalog", "legal"] = "level"
    """Codes over which a search normalizes: those of a level, those that lead to an item, or those
    that lead to an allowed item. Training with the loss "legal" sets it to "catalog"."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of activations; parameters stay float32."""

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "kv_heads", "head_dim", "mlp_dim", "max_items"):
            require(
                getattr(self, name) >= 1,
                f"{name}: found {getattr(self, name)}, expected at least 1",
            )
        for name in ("time_buckets", "user_buckets"):
            value = getattr(self, name)
            require(value == 0 or value >= 2, f"{name}: found {value}, expected 0 or at least 2")
        require(
            self.relative_buckets >= 4 and self.relative_distance > self.relative_buckets,
            f"relative_buckets: found {self.relative_buckets}, expected at least 4 and fewer than "
            f"relative_distance {self.relative_distance}",
        )
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
        require(
            0 <= self.dropout < 1,
            f"dropout: found {self.dropout}, expected 0 or more and less than 1",
        )
        require(
            all(v >= 1 for v in self.codes_per_level),
            f"codes_per_level: found {self.codes_per_level}, expected positive counts",
        )
