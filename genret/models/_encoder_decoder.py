"""EncoderDecoder: TIGER, a T5 that reads a history's codes and spells the next item's."""

import dataclasses

import jax.numpy as jnp
from flax import nnx

from genret.config import EncoderDecoderConfig
from genret.models._cache import Cache
from genret.models._capabilities import Capabilities
from genret.models._decode import CachedDecoder, level_offsets
from genret.models._features import SideFeatures
from genret.models._history import History
from genret.models._layers import Embedding, split_key
from genret.models._t5 import Decoder, Encoder
from genret.typing import Array, Float, Int

PAD = 0
"""Token of padding, with which the decoder starts, as T5's does."""
EOS = 1
"""Token that ends a history; the blocks of the levels' codes follow it."""


class T5(nnx.Module):
    """Shared embedding, encoder, decoder and output embedding: T5 itself.

    The rows of the embedding start with length 1, as those of every model here. T5's start with
    deviation 1, for Adafactor, whose steps grow with the parameter; by AdamW's they hardly move.

    Args:
      config: the architecture.
      tokens: size of the vocabulary.
      rngs: source of the initial parameters.
    """

    def __init__(self, config: EncoderDecoderConfig, tokens: int, *, rngs: nnx.Rngs) -> None:
        self.embedding = Embedding(tokens, config.width, rngs=rngs)
        self.encoder = Encoder(config, rngs=rngs)
        self.decoder = Decoder(config, rngs=rngs)
        self.output = None if config.tie_embeddings else Embedding(tokens, config.width, rngs=rngs)
        self.dtype = config.dtype
        self.scale = config.width**-0.5 if config.tie_embeddings else 1.0

    def embed(self, tokens: Int[Array, "*batch"]) -> Float[Array, "*batch W"]:
        """Return the input vectors of tokens."""
        return self.embedding(tokens, jnp.dtype(self.dtype))

    def encode(
        self,
        x: Float[Array, "B S W"],
        lengths: Int[Array, " B"],
        dropout_key: Array | None = None,
    ) -> Cache:
        """Read token vectors, of which ``lengths`` count; return what the decoder asks of them."""
        present = jnp.arange(x.shape[1], dtype=jnp.int32)[None] < lengths[:, None]
        states = self.encoder(x, present, dropout_key)
        keys, values = self.decoder.shared(states)
        return Cache.of_history(keys, values, lengths, jnp.zeros_like(states[:, 0]))

    def decode(
        self, x: Float[Array, "B M T W"], cache: Cache, dropout_key: Array | None = None
    ) -> tuple[Float[Array, "B M T W"], Cache]:
        """Process T new positions of each beam; their states are scaled for the output."""
        batch, beams = x.shape[:2]
        flat = x.reshape(batch * beams, *x.shape[2:])
        states, keys, values = self.decoder(flat, cache, dropout_key, beams)
        states = (states * self.scale).reshape(x.shape)
        per_beam = [
            tuple(part.reshape(batch, beams, *part.shape[1:]) for part in parts)
            for parts in (keys, values)
        ]
        return states, cache.extended(per_beam[0], per_beam[1], states[:, :, -1])

    @property
    def output_table(self) -> Float[Array, "V W"]:
        """The vectors of the tokens that scaled states are scored against."""
        return (self.embedding if self.output is None else self.output).table[...]


class EncoderDecoder(CachedDecoder):
    """Reads a history code by code with a two-way encoder: TIGER's form, on T5.

    The encoder's tokens are the user's where there are user_buckets, those of the codes, oldest
    item first, then one that ends the history;
    the decoder starts with the padding token. An encoding serves one target only, so a row of a
    training batch is one history and its last item is the target: see
    :class:`genret.data.pipeline.TrainingBatches`.

    Source: Rajput et al., Recommender Systems with Generative Retrieval, 2023.

    Args:
      config: the architecture; ``codes_per_level`` must be filled. ``layers`` are the encoder's,
        ``code_layers`` the decoder's blocks.
      rngs: source of the initial parameters (``params`` stream).

    Raises:
      GenretError: no ``codes_per_level``.

    >>> config = EncoderDecoderConfig(codes_per_level=(8, 4), width=16, heads=2, head_dim=8)
    >>> model = EncoderDecoder(config, rngs=nnx.Rngs(0))
    >>> logits, cache = model.prefill(History.from_items([[0, 1]], [[0], []], max_items=3))
    >>> logits.shape
    (2, 1, 8)
    """

    config: EncoderDecoderConfig

    def __init__(self, config: EncoderDecoderConfig, *, rngs: nnx.Rngs) -> None:
        super().__init__(config, rngs=rngs)
        tokens = EOS + 1 + sum(config.codes_per_level)
        self.t5 = T5(config, tokens, rngs=rngs)

    @property
    def capabilities(self) -> Capabilities:
        """As of any model; and an encoding serves one target only."""
        return dataclasses.replace(super().capabilities, one_target_a_row=True)

    def states(
        self,
        codes: Int[Array, "B T L"],
        segments: Int[Array, "B T"],
        positions: Int[Array, "B T"],
        *,
        side: SideFeatures | None = None,
        dropout_key: Array | None = None,
    ) -> Float[Array, "B 1 L W"]:
        """Return the states that predict the codes of the last item of each row.

        Args:
          codes: int32 [B, T, L].
          segments: 1 for the items of the row's history, 0 for the padding after it.
          positions: not read: T5 knows distances between tokens only.
          side: what the architecture reads beside the codes.
          dropout_key: a JAX key; None drops nothing.
        """
        encoder_key, decoder_key = split_key(dropout_key, 2)
        last = jnp.maximum((segments > 0).sum(axis=1, dtype=jnp.int32) - 1, 0)
        past = None if side is None else side.without_last()
        cache = self._encode(History(codes=codes[:, :-1], lengths=last, side=past), encoder_key)
        target = jnp.take_along_axis(codes, last[:, None, None], axis=1, mode="clip")
        inputs = self.t5.embed(self._tokens(target[:, :, :-1], 0))
        start = jnp.broadcast_to(
            self.t5.embed(jnp.asarray(PAD, jnp.int32)), (*inputs.shape[:2], 1, inputs.shape[3])
        )
        states, _ = self.t5.decode(jnp.concatenate([start, inputs], axis=2), cache, decoder_key)
        return states

    def prefill(self, history: History) -> tuple[Float[Array, "B 1 V"], Cache]:
        """Read the histories, once per request.

        Args:
          history: B histories.

        Returns:
          Float32 logits [B, 1, V] of the first code, and the cache for :meth:`step`.
        """
        cache = self._encode(history, None)
        start = self.t5.embed(jnp.full((history.codes.shape[0], 1, 1), PAD, jnp.int32))
        states, cache = self.t5.decode(start, cache)
        return self.readout(states[:, :, 0], 0), self._without_start(cache)

    def _encode(self, history: History, dropout_key: Array | None) -> Cache:
        batch, depth = history.codes.shape[0], len(self.codes_per_level)
        tokens = self._tokens(history.codes, 0).reshape(batch, -1)
        tokens = jnp.pad(tokens, ((0, 0), (0, 1)))
        end = history.lengths[:, None] * depth
        slots = jnp.arange(tokens.shape[1], dtype=jnp.int32)[None]
        tokens = jnp.where(slots < end, tokens, jnp.where(slots == end, EOS, PAD))
        x, lengths = self.t5.embed(tokens), end[:, 0] + 1
        added = self.features.of_items(history.side, self._dtype)
        if added is not None:
            added = jnp.pad(jnp.repeat(added, depth, axis=1), ((0, 0), (0, 1), (0, 0)))
            # What follows the history is not read: in training it is the target.
            x = x + jnp.where((slots < end)[:, :, None], added, 0)
        user = self.features.of_users(history.side, self._dtype)
        if user is not None:
            x, lengths = jnp.concatenate([user[:, :1], x], axis=1), lengths + 1
        return self.t5.encode(x, lengths, dropout_key)

    def _tokens(self, codes: Int[Array, "B T P"], first: int) -> Int[Array, "B T P"]:
        """Return the tokens of codes of the levels from ``first`` on."""
        offsets = level_offsets(self.codes_per_level, EOS + 1)[first : first + codes.shape[2]]
        return codes + jnp.asarray(offsets, jnp.int32)[None, None, :]

    def _extend(
        self, codes: Int[Array, "B M T"], cache: Cache
    ) -> tuple[Float[Array, "B M T W"], Cache]:
        states, cache = self.t5.decode(self.t5.embed(self._tokens(codes, cache.level)), cache)
        return states, self._without_start(cache)

    def _without_start(self, cache: Cache) -> Cache:
        """Count the codes of the cache only: the start token is none."""
        return dataclasses.replace(cache, level=cache.paths.shape[2] - 1)

    def _output_vectors(
        self, level: int, codes: Int[Array, "*codes"] | None = None
    ) -> Float[Array, "*codes W"]:
        first = level_offsets(self.codes_per_level, EOS + 1)[level]
        table = self.t5.output_table
        if codes is None:
            return table[first : first + self.codes_per_level[level]]
        return table.at[first + codes].get(mode="clip")
