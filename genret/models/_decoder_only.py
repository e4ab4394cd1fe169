"""DecoderOnly: a Llama/Qwen transformer over the flattened codes of the items."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from genret.config import DecoderOnlyConfig
from genret.models._attention import causal_mask
from genret.models._cache import Cache
from genret.models._decode import CachedDecoder, level_offsets, shift_right
from genret.models._features import SideFeatures
from genret.models._history import History
from genret.models._layers import Embedding, Positions, dropout, split_key
from genret.models._transformer import KeysValues, Transformer
from genret.typing import Array, Bool, Float, Int

BOS = 0
"""Token that starts a history; the blocks of the levels' codes follow it."""


class LanguageModel(nnx.Module):
    """Token embedding, blocks, and output embedding: the Llama/Qwen model itself.

    Args:
      config: the architecture.
      tokens: size of the vocabulary.
      rngs: source of the initial parameters.
    """

    def __init__(self, config: DecoderOnlyConfig, tokens: int, *, rngs: nnx.Rngs) -> None:
        self.embedding = Embedding(tokens, config.width, rngs=rngs)
        self.blocks = Transformer(config, config.layers, rngs=rngs)
        self.output = None if config.tie_embeddings else Embedding(tokens, config.width, rngs=rngs)
        self.dropout = config.dropout
        self.dtype = config.dtype

    def embed(self, tokens: Int[Array, "*batch"]) -> Float[Array, "*batch W"]:
        """Return the input vectors of tokens."""
        return self.embedding(tokens, jnp.dtype(self.dtype))

    def __call__(
        self,
        x: Float[Array, "B T W"],
        positions: Positions,
        mask: Bool[Array, "#B T T"],
        dropout_key: Array | None = None,
        wanted: Int[Array, "B Q"] | None = None,
    ) -> tuple[Float[Array, "B Q W"], KeysValues, KeysValues]:
        """Return normalized hidden states (all, or those ``wanted``), and K and V of each block."""
        input_key, block_key = split_key(dropout_key, 2)
        x = dropout(x, self.dropout, input_key)
        return self.blocks(x, positions, mask, block_key, wanted)

    @property
    def output_table(self) -> Float[Array, "V W"]:
        """The output embedding of all tokens."""
        return (self.embedding if self.output is None else self.output).table[...]


class DecoderOnly(CachedDecoder):
    """Reads a history code by code: the flattened form, on a Llama/Qwen transformer.

    The vocabulary is a start token, then a block of tokens for each level. The start token is at
    token position 0, and the code of level l of the item at position p of its history is at token
    position ``1 + p L + l``; each token predicts the next one, within the next level's block.

    Source: Rajput et al., Recommender Systems with Generative Retrieval, 2023 (as a decoder).

    Args:
      config: the architecture; ``codes_per_level`` must be filled.
      rngs: source of the initial parameters (``params`` stream).

    Raises:
      GenretError: no ``codes_per_level``.

    >>> config = DecoderOnlyConfig(codes_per_level=(8, 4), width=16, heads=2, kv_heads=1, head_dim=8)
    >>> model = DecoderOnly(config, rngs=nnx.Rngs(0))
    >>> logits, cache = model.prefill(History.from_items([[0, 1]], [[0], []], max_items=3))
    >>> logits.shape
    (2, 1, 8)
    """

    config: DecoderOnlyConfig

    def __init__(self, config: DecoderOnlyConfig, *, rngs: nnx.Rngs) -> None:
        super().__init__(config, rngs=rngs)
        tokens = BOS + 1 + sum(config.codes_per_level)
        self.language_model = LanguageModel(config, tokens, rngs=rngs)

    def states(
        self,
        codes: Int[Array, "B T L"],
        segments: Int[Array, "B T"],
        positions: Int[Array, "B T"],
        *,
        side: SideFeatures | None = None,
        dropout_key: Array | None = None,
    ) -> Float[Array, "B T L W"]:
        """Return the state that predicts each code; see :meth:`CachedDecoder.states`."""
        batch, length, depth = codes.shape
        model = self.language_model
        segments = jnp.repeat(segments, depth, axis=1)
        x = self._embed(codes, side)
        starts = self._starts(model.embed(jnp.asarray(BOS, jnp.int32)), side)
        if starts.shape[1] > 1:  # one a position of the items
            starts = jnp.repeat(starts, depth, axis=1)
        # The slot of code l holds the token before it, whose token position is p L + l.
        x = shift_right(x, starts, segments)
        token_positions = (
            positions[:, :, None] * depth + jnp.arange(depth, dtype=jnp.int32)[None, None, :]
        )
        token_positions = token_positions.reshape(batch, length * depth)
        hidden, _, _ = model(x, token_positions, causal_mask(segments), dropout_key)
        return hidden.reshape(batch, length, depth, -1)

    def prefill(self, history: History) -> tuple[Float[Array, "B 1 V"], Cache]:
        """Read the histories, once per request.

        Args:
          history: B histories.

        Returns:
          Float32 logits [B, 1, V] of the first code, and the cache for :meth:`step`.
        """
        model = self.language_model
        x = self._embed(history.codes, history.side)
        starts = self._starts(model.embed(jnp.asarray(BOS, jnp.int32)), history.side)
        starts = jnp.broadcast_to(starts[:, :1], (len(x), 1, x.shape[2]))
        x = jnp.concatenate([starts, x], axis=1)
        positions = np.arange(x.shape[1])[None]
        mask = causal_mask(jnp.ones((1, x.shape[1]), jnp.int32))
        last = history.lengths * len(self.codes_per_level)
        hidden, keys, values = model(x, positions, mask, wanted=last[:, None])
        cache = Cache.of_history(keys, values, last + 1, hidden[:, 0])
        return self.readout(hidden, 0), cache

    def _embed(
        self, codes: Int[Array, "B T L"], side: SideFeatures | None
    ) -> Float[Array, "B S W"]:
        """Return the vectors of the flattened tokens of items.

        What is known of an item beside its codes is added to its last one: the others predict
        codes of the same item.
        """
        x = self.language_model.embed(self._tokens(codes))
        added = self.features.of_items(side, self._dtype)
        if added is None:
            return x
        before = jnp.zeros((*codes.shape[:2], codes.shape[2] - 1, x.shape[2]), x.dtype)
        return x + jnp.concatenate([before, added[:, :, None]], axis=2).reshape(x.shape)

    def _tokens(self, codes: Int[Array, "B T L"]) -> Int[Array, "B S"]:
        """Return the flattened tokens of items."""
        offsets = jnp.asarray(level_offsets(self.codes_per_level, BOS + 1), jnp.int32)
        return (codes + offsets[None, None, :]).reshape(codes.shape[0], -1)

    def _extend(
        self, codes: Int[Array, "B M T"], cache: Cache
    ) -> tuple[Float[Array, "B M T W"], Cache]:
        levels = slice(cache.level, cache.level + codes.shape[2])
        offsets = jnp.asarray(level_offsets(self.codes_per_level, BOS + 1)[levels], jnp.int32)
        new = jnp.arange(cache.level, cache.level + codes.shape[2], dtype=jnp.int32)
        positions = cache.shared_lengths[:, None] + new[None, :]
        inputs = self.language_model.embed(codes + offsets[None, None, :])
        return self.language_model.blocks.extend(inputs, positions, cache)

    def _output_vectors(
        self, level: int, codes: Int[Array, "*codes"] | None = None
    ) -> Float[Array, "*codes W"]:
        first = level_offsets(self.codes_per_level, BOS + 1)[level]
        table = self.language_model.output_table
        if codes is None:
            return table[first : first + self.codes_per_level[level]]
        return table.at[first + codes].get(mode="clip")
