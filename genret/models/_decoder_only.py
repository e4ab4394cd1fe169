"""DecoderOnly: a Llama/Qwen transformer over the flattened codes of the items."""

import jax.numpy as jnp
from flax import nnx

from genret.config import ModelConfig
from genret.models._attention import causal_mask
from genret.models._cache import Cache
from genret.models._decode import CachedDecoder, level_offsets, shift_right
from genret.models._history import History
from genret.models._layers import Embedding, dropout, readout, split_key
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

    def __init__(self, config: ModelConfig, tokens: int, *, rngs: nnx.Rngs) -> None:
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
        positions: Int[Array, "B T"],
        mask: Bool[Array, "B T T"],
        dropout_key: Array | None = None,
    ) -> tuple[Float[Array, "B T W"], KeysValues, KeysValues]:
        """Return normalised hidden states, and keys and values of each block."""
        input_key, block_key = split_key(dropout_key, 2)
        return self.blocks(dropout(x, self.dropout, input_key), positions, mask, block_key)

    def readout(
        self, hidden: Float[Array, "*batch W"], first: int, count: int
    ) -> Float[Array, "*batch V"]:
        """Return the float32 logits of the ``count`` tokens from ``first`` on."""
        return readout(hidden, self.output_table[first : first + count])

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

    >>> config = ModelConfig(codes_per_level=(8, 4), width=16, heads=2, kv_heads=1, head_dim=8)
    >>> model = DecoderOnly(config, rngs=nnx.Rngs(0))
    >>> logits, cache = model.prefill(History.from_items([[0, 1]], [0, 1, 1], [0], max_items=3))
    >>> logits.shape
    (2, 1, 8)
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        super().__init__(config)
        tokens = BOS + 1 + sum(config.codes_per_level)
        self.language_model = LanguageModel(config, tokens, rngs=rngs)

    def logits(
        self,
        codes: Int[Array, "B T L"],
        segments: Int[Array, "B T"],
        positions: Int[Array, "B T"],
        *,
        dropout_key: Array | None = None,
    ) -> tuple[Float[Array, "B T _"], ...]:
        """Return the logits of every code of every item, teacher-forced.

        Position t predicts item t from the items before it in its own segment (the first from the
        start token), and code l of it also from its codes before l.

        Args:
          codes: int32 [B, T, L].
          segments: 0 is padding, 1, 2, … the histories that share a row, int32 [B, T].
          positions: position of each item in its history, int32 [B, T].
          dropout_key: a JAX key; None drops nothing.

        Returns:
          For each level, float32 logits [B, T, V].
        """
        batch, length, depth = codes.shape
        model = self.language_model
        segments = jnp.repeat(segments, depth, axis=1)
        x = model.embed(self._tokens(codes))
        # The slot of code l holds the token before it, whose token position is p L + l.
        x = shift_right(x, model.embed(jnp.asarray(BOS)), segments)
        token_positions = positions[:, :, None] * depth + jnp.arange(depth)[None, None, :]
        token_positions = token_positions.reshape(batch, length * depth)
        hidden, _, _ = model(x, token_positions, causal_mask(segments), dropout_key)
        hidden = hidden.reshape(batch, length, depth, -1)
        return tuple(self._readout(hidden[:, :, level], level) for level in range(depth))

    def prefill(self, history: History) -> tuple[Float[Array, "B 1 V"], Cache]:
        """Read the histories, once per request.

        Args:
          history: B histories.

        Returns:
          Float32 logits [B, 1, V] of the first code, and the cache for :meth:`step`.
        """
        tokens = jnp.pad(self._tokens(history.codes), ((0, 0), (1, 0)), constant_values=BOS)
        positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
        mask = causal_mask(jnp.ones_like(tokens))
        model = self.language_model
        hidden, keys, values = model(model.embed(tokens), positions, mask)
        last = history.lengths * len(self.codes_per_level)
        hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1, mode="clip")
        cache = Cache.of_history(keys, values, last + 1, hidden[:, 0])
        return self._readout(hidden, 0), cache

    def _tokens(self, codes: Int[Array, "B T L"]) -> Int[Array, "B S"]:
        """Return the flattened tokens of items."""
        offsets = jnp.asarray(level_offsets(self.codes_per_level, BOS + 1), jnp.int32)
        return (codes + offsets[None, None, :]).reshape(codes.shape[0], -1)

    def _inputs(
        self, codes: Int[Array, "B M T"], cache: Cache
    ) -> tuple[Float[Array, "B M T W"], Int[Array, "B T"]]:
        levels = slice(cache.level, cache.level + codes.shape[2])
        offsets = jnp.asarray(level_offsets(self.codes_per_level, BOS + 1)[levels], jnp.int32)
        new = jnp.arange(cache.level, cache.level + codes.shape[2])
        positions = cache.shared_lengths[:, None] + new[None, :]
        return self.language_model.embed(codes + offsets[None, None, :]), positions

    @property
    def _code_blocks(self) -> Transformer:
        return self.language_model.blocks

    def _readout(self, hidden: Float[Array, "*batch W"], level: int) -> Float[Array, "*batch V"]:
        first = level_offsets(self.codes_per_level, BOS + 1)[level]
        return self.language_model.readout(hidden, first, self.codes_per_level[level])
