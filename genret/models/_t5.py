"""Layers of T5, parameter for parameter: relative position bias, unscaled attention, two MLPs.

Sources: Raffel et al., Exploring the Limits of Transfer Learning, 2020; Shaw et al.,
Self-Attention with Relative Position Representations, 2018; Shazeer, GLU Variants Improve
Transformer, 2020 (the gated MLP of T5 1.1).
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genret.config import EncoderDecoderConfig
from genret.models._attention import softmax_parts
from genret.models._cache import Cache, take_beams
from genret.models._layers import Linear, RMSNorm, as_block, dropout, split_key
from genret.typing import Array, Bool, Float, Int

_MASKED = -1e30
"""Score of a masked key: finite, so that no row of scores becomes NaN."""

HeadTensor = Float[Array, "_ _ H D"]
"""Queries, keys or values: sequences, positions, heads, width."""


def relative_buckets(
    queries: int, keys: int, *, two_way: bool, buckets: int, distance: int, first: int = 0
) -> Int[np.ndarray, "T S"]:
    """Return the bucket of the distance from each query to each key.

    Half of the buckets are for exact distances, the others grow with the logarithm up to
    ``distance``; with ``two_way``, half of all are for keys after the query.

    Args:
      queries: number of queries; they are at the positions from ``first`` on.
      keys: number of keys; they are at the positions from 0 on.
      two_way: the encoder looks both ways, the decoder only back.
      buckets: number of buckets.
      distance: distance from which on all share a bucket.
      first: position of the first query.

    Returns:
      int32, 0 to ``buckets - 1``.

    >>> relative_buckets(1, 4, two_way=False, buckets=4, distance=8, first=3).tolist()
    [[2, 2, 1, 0]]
    """
    ahead = np.arange(keys)[None] - (first + np.arange(queries))[:, None]
    offset = np.zeros_like(ahead)
    if two_way:
        buckets //= 2
        offset = np.where(ahead > 0, buckets, 0)
        far = np.abs(ahead)
    else:
        far = np.maximum(-ahead, 0)
    exact = buckets // 2
    # float32 throughout, as in the checkpoints' own code: distances at a bucket's edge depend on it.
    ratio = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact))
    steps = ratio / np.float32(math.log(distance / exact)) * np.float32(buckets - exact)
    large = np.minimum(exact + steps.astype(np.int32), buckets - 1)
    return (offset + np.where(far < exact, far, large)).astype(np.int32)


class RelativeBias(nnx.Module):
    """A learned number for each head and bucket of distance, added to attention scores."""

    def __init__(self, config: EncoderDecoderConfig, *, two_way: bool, rngs: nnx.Rngs) -> None:
        start = jax.nn.initializers.normal(config.width**-0.5)
        shape = (config.relative_buckets, config.heads)
        self.table = nnx.Param(start(rngs.params(), shape, jnp.float32))
        self.two_way = two_way
        self.distance = config.relative_distance

    def __call__(self, queries: int, keys: int, first: int = 0) -> Float[Array, "1 H T S"]:
        """Return the bias of ``queries`` positions from ``first`` on to ``keys`` from 0 on."""
        table = self.table[...]
        where = relative_buckets(
            queries,
            keys,
            two_way=self.two_way,
            buckets=len(table),
            distance=self.distance,
            first=first,
        )
        return table[where].transpose(2, 0, 1)[None]


def t5_attend(
    queries: Float[Array, "B T H D"],
    keys: Float[Array, "B S H D"],
    values: Float[Array, "B S H D"],
    bias: Float[Array, "B2 H2 T2 S"],
    rate: float = 0.0,
    dropout_key: Array | None = None,
) -> Float[Array, "B T H D"]:
    """Return ``softmax(Q Kᵀ + bias) V``: T5 does not scale its scores; softmax is in float32."""
    scores = jnp.einsum("bthd,bshd->bhts", queries, keys, preferred_element_type=jnp.float32)
    weights, total = softmax_parts(scores + bias)
    weights = dropout(weights, rate, dropout_key).astype(values.dtype)
    mixed = jnp.einsum("bhts,bshd->bhtd", weights, values).astype(jnp.float32) / total
    return mixed.transpose(0, 2, 1, 3).astype(values.dtype)


def mask_bias(mask: Bool[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return 0 where a key is seen and a large negative number where not."""
    return jnp.where(mask, 0.0, _MASKED)


class T5Attention(nnx.Module):
    """The four projections; their initial sizes are T5's, which make scaling needless."""

    def __init__(self, config: EncoderDecoderConfig, *, rngs: nnx.Rngs) -> None:
        inner = config.heads * config.head_dim
        self.q_proj = Linear(config.width, inner, scale=config.head_dim**-0.5, rngs=rngs)
        self.k_proj = Linear(config.width, inner, rngs=rngs)
        self.v_proj = Linear(config.width, inner, rngs=rngs)
        self.o_proj = Linear(inner, config.width, rngs=rngs)
        self.heads = config.heads

    def queries(self, x: Float[Array, "B T W"]) -> HeadTensor:
        """Return the queries of positions."""
        return self.q_proj(x).reshape(*x.shape[:2], self.heads, -1)

    def keys_values(self, x: Float[Array, "B T W"]) -> tuple[HeadTensor, HeadTensor]:
        """Return the keys and values of positions."""
        shape = (*x.shape[:2], self.heads, -1)
        return self.k_proj(x).reshape(shape), self.v_proj(x).reshape(shape)

    def merge(self, mixed: HeadTensor) -> Float[Array, "B T W"]:
        """Project the heads back."""
        return self.o_proj(mixed.reshape(*mixed.shape[:2], -1))


class T5MLP(nnx.Module):
    """``relu(x W_in) W_out``, or with a gate ``(gelu(x W_gate) · x W_in) W_out`` (T5 1.1)."""

    def __init__(self, config: EncoderDecoderConfig, *, rngs: nnx.Rngs) -> None:
        width, hidden = config.width, config.mlp_dim
        self.in_proj = Linear(width, hidden, rngs=rngs)
        self.gate_proj = Linear(width, hidden, rngs=rngs) if config.gated_mlp else None
        self.out_proj = Linear(hidden, width, rngs=rngs)
        self.dropout = config.dropout

    def __call__(
        self, x: Float[Array, "B T W"], dropout_key: Array | None = None
    ) -> Float[Array, "B T W"]:
        """Apply the MLP to the last axis."""
        if self.gate_proj is None:
            hidden = jax.nn.relu(self.in_proj(x))
        else:
            hidden = jax.nn.gelu(self.gate_proj(x), approximate=True) * self.in_proj(x)
        return self.out_proj(dropout(hidden, self.dropout, dropout_key))


class EncoderBlock(nnx.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``."""

    def __init__(self, config: EncoderDecoderConfig, *, rngs: nnx.Rngs) -> None:
        self.attention_norm = RMSNorm(config.width, config.norm_eps)
        self.attention = T5Attention(config, rngs=rngs)
        self.mlp_norm = RMSNorm(config.width, config.norm_eps)
        self.mlp = T5MLP(config, rngs=rngs)
        self.dropout = config.dropout

    def __call__(
        self, x: Float[Array, "B T W"], bias: Float[Array, "B H T T"], dropout_key: Array | None
    ) -> Float[Array, "B T W"]:
        """Return the new residual stream."""
        weight_key, mixed_key, inner_key, mlp_key = split_key(dropout_key, 4)
        normed = self.attention_norm(x)
        mixed = t5_attend(
            self.attention.queries(normed), *self.attention.keys_values(normed), bias,
            self.dropout, weight_key,
        )  # fmt: skip
        x = x + dropout(self.attention.merge(mixed), self.dropout, mixed_key)
        return x + dropout(self.mlp(self.mlp_norm(x), inner_key), self.dropout, mlp_key)


class Encoder(nnx.Module):
    """Reads all tokens of a history, each seeing every other."""

    def __init__(self, config: EncoderDecoderConfig, *, rngs: nnx.Rngs) -> None:
        self.relative_bias = RelativeBias(config, two_way=True, rngs=rngs)
        self.blocks = nnx.List([EncoderBlock(config, rngs=rngs) for _ in range(config.layers)])
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.dropout = config.dropout

    def __call__(
        self,
        x: Float[Array, "B T W"],
        present: Bool[Array, "B T"],
        dropout_key: Array | None = None,
    ) -> Float[Array, "B T W"]:
        """Return the normalized states.

        Args:
          x: vectors of the tokens.
          present: which tokens count; the others are padding.
          dropout_key: a JAX key; None drops nothing.
        """
        first_key, last_key, *keys = split_key(dropout_key, 2 + len(self.blocks))
        bias = self.relative_bias(x.shape[1], x.shape[1]) + mask_bias(present)[:, None, None, :]
        x = dropout(x, self.dropout, first_key)
        for block, key in zip(self.blocks, keys, strict=True):
            x = as_block(functools.partial(block, bias=bias, dropout_key=key))(x)
        return dropout(self.norm(x), self.dropout, last_key)


class DecoderBlock(nnx.Module):
    """Attention to the own past, attention to the encoder's states, MLP; each before a norm."""

    def __init__(self, config: EncoderDecoderConfig, *, rngs: nnx.Rngs) -> None:
        self.attention_norm = RMSNorm(config.width, config.norm_eps)
        self.attention = T5Attention(config, rngs=rngs)
        self.cross_norm = RMSNorm(config.width, config.norm_eps)
        self.cross = T5Attention(config, rngs=rngs)
        self.mlp_norm = RMSNorm(config.width, config.norm_eps)
        self.mlp = T5MLP(config, rngs=rngs)
        self.dropout = config.dropout

    def __call__(
        self,
        x: Float[Array, "B T W"],
        before: tuple[HeadTensor, HeadTensor] | None,
        bias: Float[Array, "1 H T S"],
        shared: tuple[HeadTensor, HeadTensor],
        shared_bias: Float[Array, "B2 1 1 S2"],
        dropout_key: Array | None,
        beams: int = 1,
    ) -> tuple[Float[Array, "B T W"], HeadTensor, HeadTensor]:
        """Process T positions of each sequence; a request has ``beams`` sequences.

        Args:
          x: the residual stream, one row a sequence.
          before: keys and values of the positions before; None: there are none.
          bias: bias of the positions to all up to them.
          shared: keys and values of the encoder's states, one row a request.
          shared_bias: which of the states count.
          dropout_key: a JAX key; None drops nothing.
          beams: sequences of a request.

        Returns:
          The new residual stream, and the keys and values of the new positions.
        """
        self_key, mixed_key, cross_key, crossed_key, inner_key, mlp_key = split_key(dropout_key, 6)
        normed = self.attention_norm(x)
        new = keys, values = self.attention.keys_values(normed)
        if before is not None:
            keys = jnp.concatenate([before[0], keys], axis=1)
            values = jnp.concatenate([before[1], values], axis=1)
        mixed = t5_attend(
            self.attention.queries(normed), keys, values, bias, self.dropout, self_key
        )
        x = x + dropout(self.attention.merge(mixed), self.dropout, mixed_key)
        queries = self.cross.queries(self.cross_norm(x))
        # The beams of a request stand side by side as its queries: its history is not repeated.
        side_by_side = queries.reshape(queries.shape[0] // beams, -1, *queries.shape[2:])
        crossed = t5_attend(side_by_side, *shared, shared_bias, self.dropout, cross_key)
        x = x + dropout(self.cross.merge(crossed.reshape(queries.shape)), self.dropout, crossed_key)
        x = x + dropout(self.mlp(self.mlp_norm(x), inner_key), self.dropout, mlp_key)
        return x, *new


class Decoder(nnx.Module):
    """Spells an item's codes from a start token, looking at the encoder's states."""

    def __init__(self, config: EncoderDecoderConfig, *, rngs: nnx.Rngs) -> None:
        self.relative_bias = RelativeBias(config, two_way=False, rngs=rngs)
        layers = config.code_layers
        self.blocks = nnx.List([DecoderBlock(config, rngs=rngs) for _ in range(layers)])
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.dropout = config.dropout

    def shared(
        self, states: Float[Array, "B S W"]
    ) -> tuple[tuple[HeadTensor, ...], tuple[HeadTensor, ...]]:
        """Return each block's keys and values of the encoder's states."""
        keys, values = zip(*(block.cross.keys_values(states) for block in self.blocks), strict=True)
        return keys, values

    def __call__(
        self,
        x: Float[Array, "B T W"],
        cache: Cache,
        dropout_key: Array | None = None,
        beams: int = 1,
    ) -> tuple[Float[Array, "B T W"], tuple[HeadTensor, ...], tuple[HeadTensor, ...]]:
        """Process T new positions of each sequence after those in the cache.

        Args:
          x: vectors of the new positions, one row a sequence; those of a request follow each other.
          cache: the encoder's keys and values, and each sequence's own.
          dropout_key: a JAX key; None drops nothing.
          beams: sequences of a request.

        Returns:
          Normalized states, and for each block keys and values of the new positions.
        """
        first_key, last_key, *keys = split_key(dropout_key, 2 + len(self.blocks))
        past, length = cache.paths.shape[2], x.shape[1]
        bias = self.relative_bias(length, past + length, past)
        seen = jnp.tril(jnp.ones((length, past + length), bool), past)
        bias = bias + mask_bias(seen)[None, None]
        there = (
            jnp.arange(cache.shared_keys[0].shape[1], dtype=jnp.int32)[None]
            < cache.shared_lengths[:, None]
        )
        shared_bias = mask_bias(there)[:, None, None, :]
        x = dropout(x, self.dropout, first_key)
        all_keys, all_values = [], []
        for number, (block, key) in enumerate(zip(self.blocks, keys, strict=True)):
            before = None
            if past:
                paths = cache.paths.reshape(len(cache.paths), -1)
                before = tuple(
                    take_beams(part, paths).reshape(-1, past, *part.shape[2:])
                    for part in (cache.keys[number], cache.values[number])
                )
            shared = (cache.shared_keys[number], cache.shared_values[number])
            run = functools.partial(
                block,
                before=before,
                bias=bias,
                shared=shared,
                shared_bias=shared_bias,
                dropout_key=key,
                beams=beams,
            )
            x, own_keys, own_values = as_block(run)(x)
            all_keys.append(own_keys)
            all_values.append(own_values)
        return dropout(self.norm(x), self.dropout, last_key), tuple(all_keys), tuple(all_values)
