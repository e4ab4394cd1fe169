"""Transformers of three sizes with random weights: what a constrained step is a part of."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

from genret.config import ModelConfig
from genret.models import build_model

Size = Literal["0.3M", "30M", "300M"]

SIZES: dict[Size, dict[str, Any]] = {
    "0.3M": {"width": 64, "layers": 4, "heads": 4, "kv_heads": 4, "head_dim": 16, "mlp_dim": 192},
    "30M": {
        "width": 512, "layers": 8, "heads": 8, "kv_heads": 8, "head_dim": 64, "mlp_dim": 1408,
    },
    "300M": {
        "width": 1280, "layers": 16, "heads": 10, "kv_heads": 10, "head_dim": 128,
        "mlp_dim": 3456,
    },
}  # fmt: skip
"""Blocks of each size, without the embeddings of the codes."""


def build_sized(size: Size, codes_per_level: tuple[int, ...], *, max_items: int = 20) -> Any:
    """Build a decoder-only model; its weights and activations are bfloat16."""
    config = ModelConfig(
        kind="decoder_only",
        codes_per_level=codes_per_level,
        max_items=max_items,
        dtype="bfloat16",
        **SIZES[size],
    )
    narrow = lambda x: x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x  # noqa: E731
    model = build_model(dataclasses.replace(config, dropout=0.0), 0)
    return jax.tree.map(narrow, model)


def num_parameters(model: Any) -> int:
    """Count the numbers of a model."""
    return sum(x.size for x in jax.tree.leaves(model))
