"""Grouped-query attention: over a row, and of beams over a shared history and their own suffix."""

import jax
import jax.numpy as jnp
from flax import nnx

from genret.config import RotaryConfig
from genret.models._layers import Linear, RMSNorm, Rotary, rotate
from genret.typing import Array, Bool, Float, Int

_MASKED = -1e30
"""Score of a masked key: finite, so that no row of scores becomes NaN."""


def causal_mask(segments: Int[Array, "B T"]) -> Bool[Array, "B T T"]:
    """Let each position see itself and the earlier ones of its own segment.

    Padding is a segment like any other (0), so no position sees nothing.
    """
    length = segments.shape[1]
    same = segments[:, :, None] == segments[:, None, :]
    return same & jnp.tril(jnp.ones((1, length, length), bool))


def softmax_parts(
    scores: Float[Array, "*batch S"],
) -> tuple[Float[Array, "*batch S"], Float[Array, "*batch 1"]]:
    """Return what a softmax over the last axis divides, at most 1, and by what it divides.

    >>> weights, total = softmax_parts(jnp.array([0.0, 0.0, -1e30]))
    >>> (weights / total).tolist()
    [0.5, 0.5, 0.0]
    """
    # The highest score cancels out, and so does its gradient.
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
    return weights, weights.sum(-1, keepdims=True)


def attend(
    queries: Float[Array, "B T H D"],
    keys: Float[Array, "B S K D"],
    values: Float[Array, "B S K D"],
    mask: Bool[Array, "#B T S"],
) -> Float[Array, "B T H D"]:
    r"""Return ``softmax(Q Kᵀ / sqrt(D)) V`` with ``H / K`` query heads to a key head.

    The softmax is in float32. Its sum divides the mixed values, not each weight: the same, and a
    third less time of a training step's attention on a CPU.
    """
    batch, length, heads, width = queries.shape
    kv_heads = keys.shape[2]
    queries = queries.reshape(batch, length, kv_heads, heads // kv_heads, width)
    scores = jnp.einsum(
        "btkgd,bskd->bktgs", queries * width**-0.5, keys, preferred_element_type=jnp.float32
    )
    scores = jnp.where(mask[:, None, :, None], scores, _MASKED)
    weights, total = softmax_parts(scores)
    mixed = jnp.einsum("bktgs,bskd->bktgd", weights.astype(values.dtype), values)
    mixed = (mixed.astype(jnp.float32) / total).astype(values.dtype)
    return mixed.transpose(0, 2, 1, 3, 4).reshape(batch, length, heads, width)


class Attention(nnx.Module):
    """Projections of grouped-query attention, with Qwen3's query/key norm and Qwen2's biases.

    Sources: Ainslie et al., GQA, 2023; Qwen2 and Qwen3 technical reports, 2024 and 2025.
    """

    def __init__(self, config: RotaryConfig, *, output_scale: float, rngs: nnx.Rngs) -> None:
        inner = config.heads * config.head_dim
        kv_inner = config.kv_heads * config.head_dim
        bias = config.qkv_bias
        self.q_proj = Linear(config.width, inner, bias=bias, rngs=rngs)
        self.k_proj = Linear(config.width, kv_inner, bias=bias, rngs=rngs)
        self.v_proj = Linear(config.width, kv_inner, bias=bias, rngs=rngs)
        self.o_proj = Linear(inner, config.width, scale=output_scale, rngs=rngs)
        self.q_norm = RMSNorm(config.head_dim, config.norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(config.head_dim, config.norm_eps) if config.qk_norm else None
        self.head_dim = config.head_dim

    def queries(
        self, x: Float[Array, "N W"], shape: tuple[int, int], rotary: Rotary
    ) -> Float[Array, "B T H D"]:
        """Return the queries of ``shape`` [B, T] positions, normalized and rotated."""
        queries = self.q_proj(x).reshape(*shape, -1, self.head_dim)
        return rotate(queries if self.q_norm is None else self.q_norm(queries), rotary)

    def keys_values(
        self, x: Float[Array, "N W"], shape: tuple[int, int], rotary: Rotary
    ) -> tuple[Float[Array, "B T K D"], Float[Array, "B T K D"]]:
        """Return the keys of ``shape`` [B, T] positions, normalized and rotated, and the values."""
        keys = self.k_proj(x).reshape(*shape, -1, self.head_dim)
        values = self.v_proj(x).reshape(*shape, -1, self.head_dim)
        return rotate(keys if self.k_norm is None else self.k_norm(keys), rotary), values

    def merge(self, mixed: Float[Array, "*batch H D"]) -> Float[Array, "N W"]:
        """Project the heads back to the flat residual stream."""
        return self.o_proj(mixed.reshape(-1, mixed.shape[-2] * mixed.shape[-1]))
