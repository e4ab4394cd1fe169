"""The stack of pre-norm blocks that every model here is made of."""

import functools
from collections.abc import Iterable, Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx
from genret_kernels.shared_prefix_attention import shared_prefix_attention

from genret.config import RotaryConfig
from genret.models._attention import Attention, attend
from genret.models._cache import Cache
from genret.models._layers import (
    GatedMLP,
    Positions,
    RMSNorm,
    Rotary,
    as_block,
    dropout,
    rotary_angles,
    split_key,
)
from genret.typing import Array, Bool, Float, Int

KeysValues = tuple[Float[Array, "B T K D"], ...]
"""Keys, or values, of each block."""


class Block(nnx.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``: the block of Llama and Qwen."""

    def __init__(self, config: RotaryConfig, *, output_scale: float, rngs: nnx.Rngs) -> None:
        self.attention_norm = RMSNorm(config.width, config.norm_eps)
        self.attention = Attention(config, output_scale=output_scale, rngs=rngs)
        self.mlp_norm = RMSNorm(config.width, config.norm_eps)
        self.mlp = GatedMLP(config.width, config.mlp_dim, output_scale=output_scale, rngs=rngs)
        self.dropout = config.dropout
        self.implementation = config.attention

    def __call__(
        self,
        x: Float[Array, "N W"],
        shape: tuple[int, int],
        rotary: Rotary,
        mask: Bool[Array, "#B T T"],
        dropout_key: Array | None = None,
        wanted: Int[Array, "B Q"] | None = None,
    ) -> tuple[Float[Array, "_ W"], Float[Array, "B T K D"], Float[Array, "B T K D"]]:
        """Return the new residual stream of ``shape`` [B, T] positions, N = B T, and their K, V.

        With ``wanted`` the stream goes on at those positions alone, N = B Q.
        """
        attention_key, mlp_key = split_key(dropout_key, 2)
        normed = self.attention_norm(x)
        keys, values = self.attention.keys_values(normed, shape, rotary)
        if wanted is not None:
            at_positions = [part.reshape(*shape, -1) for part in (x, normed)]
            x, normed, *angles, mask = (
                _take(part, wanted) for part in (*at_positions, *rotary, mask)
            )
            x, normed = (part.reshape(-1, part.shape[-1]) for part in (x, normed))
            rotary, shape = tuple(angles), wanted.shape  # type: ignore[assignment]
        queries = self.attention.queries(normed, shape, rotary)
        mixed = self.attention.merge(attend(queries, keys, values, mask))
        x = x + dropout(mixed, self.dropout, attention_key)
        x = x + dropout(self.mlp(self.mlp_norm(x)), self.dropout, mlp_key)
        return x, keys, values

    def extend(
        self, x: Float[Array, "N W"], beams: int, rotary: Rotary, cache: Cache, block: int
    ) -> tuple[Float[Array, "N W"], Float[Array, "B M T K D"], Float[Array, "B M T K D"]]:
        """Process T new positions of each beam (N = B M T); return also their keys and values."""
        batch = len(cache.shared_lengths)
        # Rotary angles are those of the request's positions, equal for all of its beams.
        rotary = tuple(jnp.tile(part, (1, beams, 1)) for part in rotary)  # type: ignore[assignment]
        normed, shape = self.attention_norm(x), (batch, rotary[0].shape[1])
        new = (
            self.attention.queries(normed, shape, rotary),
            *self.attention.keys_values(normed, shape, rotary),
        )
        queries, keys, values = (part.reshape(batch, beams, -1, *part.shape[2:]) for part in new)
        mixed = shared_prefix_attention(
            queries,
            cache.shared_keys[block],
            cache.shared_values[block],
            cache.shared_lengths,
            cache.keys[block],
            cache.values[block],
            cache.paths,
            keys,
            values,
            implementation=self.implementation,
        )
        x = x + self.attention.merge(mixed)
        return x + self.mlp(self.mlp_norm(x)), keys, values


class Transformer(nnx.Module):
    """Blocks and a final norm, from vectors to hidden states.

    Args:
      config: widths, heads, dropout.
      layers: number of blocks.
      rngs: source of the initial parameters.
    """

    def __init__(self, config: RotaryConfig, layers: int, *, rngs: nnx.Rngs) -> None:
        # 2 residual branches a block: the stream's variance stays near 1 at any depth.
        output_scale = (2 * layers) ** -0.5
        self.blocks = nnx.List(
            [Block(config, output_scale=output_scale, rngs=rngs) for _ in range(layers)]
        )
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.head_dim = config.head_dim
        self.rope_theta = config.rope_theta
        self.rope_scaling = config.rope_scaling

    def __call__(
        self,
        x: Float[Array, "B T W"],
        positions: Positions,
        mask: Bool[Array, "#B T T"],
        dropout_key: Array | None = None,
        wanted: Int[Array, "B Q"] | None = None,
    ) -> tuple[Float[Array, "B Q W"], KeysValues, KeysValues]:
        """Return normalized hidden states, and keys and values of each block.

        Args:
          x: the input vectors.
          positions: positions for the rotary embedding.
          mask: which position (axis 1) sees which (axis 2).
          dropout_key: a JAX key; None drops nothing.
          wanted: slots of axis 1 whose states are asked for; the last block computes keys and
            values alone for the others. None: all, Q = T.
        """
        rotary = self._rotary(positions)
        # The stream is flat: XLA's loops over [B T, W] were four times faster on a CPU than those
        # over [B, T, W] with a small T.
        flat = x.reshape(-1, x.shape[-1])
        keys = split_key(dropout_key, len(self.blocks))
        flat, all_keys, all_values = _pass(
            self.blocks, flat, (len(x), x.shape[1]), rotary, mask, keys, wanted
        )
        hidden = self.norm(flat).reshape(len(x), -1, x.shape[-1])
        return hidden, all_keys, all_values

    def forked(
        self,
        other: "Transformer",
        x: Float[Array, "B T W"],
        positions: Positions,
        mask: Bool[Array, "#B T T"],
        dropout_key: Array | None = None,
        wanted: Int[Array, "B Q"] | None = None,
    ) -> tuple[Float[Array, "B Q W"], Float[Array, "B Q W"]]:
        """Return two normalized hidden states: this stack's, and those with its last blocks replaced.

        The blocks below, which both have in common, run once.

        Args:
          other: its blocks stand in the place of as many last blocks of this stack.
          x: see :meth:`__call__`, as for all that follow.
          positions: the positions.
          mask: the mask.
          dropout_key: a JAX key; None drops nothing.
          wanted: slots whose states are asked for.
        """
        rotary, shape = self._rotary(positions), (len(x), x.shape[1])
        own, others = len(self.blocks), len(other.blocks)
        keys = split_key(dropout_key, own + others)
        common = own - others
        flat = x.reshape(-1, x.shape[-1])
        flat, _, _ = _pass(self.blocks[:common], flat, shape, rotary, mask, keys[:common], None)
        found = []
        for stack, blocks, their in (
            (self, self.blocks[common:], keys[common:own]),
            (other, other.blocks, keys[own:]),
        ):
            last, _, _ = _pass(blocks, flat, shape, rotary, mask, their, wanted)
            found.append(stack.norm(last).reshape(len(x), -1, x.shape[-1]))
        return found[0], found[1]

    def extend(
        self, x: Float[Array, "B M T W"], positions: Positions, cache: Cache
    ) -> tuple[Float[Array, "B M T W"], Cache]:
        """Process T new positions of each beam after those in the cache.

        Args:
          x: input vectors of the new positions.
          positions: their positions, [B, T] (or [1, T], of all), equal for the beams of a request.
          cache: what came before, with one suffix for each beam of ``x``.

        Returns:
          Normalized hidden states, and the cache with the new positions.
        """
        rotary = self._rotary_below(
            cache.shared_keys[0].shape[1] + cache.level + x.shape[2], positions
        )
        all_keys, all_values = [], []
        flat = x.reshape(-1, x.shape[-1])
        for number, block in enumerate(self.blocks):
            flat, keys, values = block.extend(flat, x.shape[1], rotary, cache, number)
            all_keys.append(keys)
            all_values.append(values)
        hidden = self.norm(flat).reshape(x.shape)
        return hidden, cache.extended(tuple(all_keys), tuple(all_values), hidden[:, :, -1])

    def _rotary_below(self, limit: int, positions: Positions) -> Rotary:
        """Return the angles of positions below a limit: rows of a table that is a constant."""
        if isinstance(positions, np.ndarray):
            return self._rotary(positions)
        cos, sin = (part[0] for part in self._rotary(np.arange(limit)[None]))
        return cos.at[positions].get(mode="clip"), sin.at[positions].get(mode="clip")

    def _rotary(self, positions: Positions) -> Rotary:
        return rotary_angles(positions, self.head_dim, self.rope_theta, self.rope_scaling)


def _pass(
    blocks: Iterable[Block],
    flat: Float[Array, "N W"],
    shape: tuple[int, int],
    rotary: Rotary,
    mask: Bool[Array, "#B T T"],
    dropout_keys: Sequence[Array | None],
    wanted: Int[Array, "B Q"] | None,
) -> tuple[Float[Array, "_ W"], KeysValues, KeysValues]:
    """Run blocks one after another; the last one goes on at the positions ``wanted`` alone."""
    all_keys, all_values = [], []
    for number, (block, key) in enumerate(zip(blocks, dropout_keys, strict=True), 1):
        asked = wanted if number == len(dropout_keys) else None
        run = functools.partial(
            block, shape=shape, rotary=rotary, mask=mask, dropout_key=key, wanted=asked
        )
        flat, keys, values = as_block(run)(flat)
        all_keys.append(keys)
        all_values.append(values)
    return flat, tuple(all_keys), tuple(all_values)


def _take(x: Array, positions: Int[Array, "B Q"]) -> Array:
    """Return ``x[b, positions[b, q]]`` of an array [B or 1, T, D]."""
    x = jnp.broadcast_to(x, (len(positions), *x.shape[1:]))
    return jnp.take_along_axis(x, positions[:, :, None], axis=1, mode="clip")
