"""Language models whose vocabulary holds the codes among other tokens: they read prompts."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genret.config import DecoderOnlyConfig, EncoderDecoderConfig
from genret.errors import GenretError
from genret.models._attention import causal_mask
from genret.models._cache import Cache
from genret.models._decoder_only import LanguageModel
from genret.models._layers import readout
from genret.models._prompts import Prompts
from genret.models._steps import CachedSteps
from genret.typing import Array, Bool, Float, Int


class CodeTokens(nnx.Module):
    """The tokens of each level's codes in a vocabulary, and the logits of a level among all others.

    Args:
      tokens: for each level, the token of each code, int [V]; -1: the code has none, and
        probability 0.
      vocabulary: tokens of the vocabulary.
      normalize: "vocabulary": a readout has one more entry than the level has codes, the logsumexp
        of all tokens that are none of them; so a softmax over a readout is that over the whole
        vocabulary. "level": the codes alone, whose rows alone are multiplied.

    Raises:
      GenretError: no levels, or a token outside of the vocabulary or twice in a level.
    """

    def __init__(
        self, tokens: Sequence[Any], vocabulary: int, normalize: str = "vocabulary"
    ) -> None:
        if not len(tokens):
            raise GenretError("code tokens: found no level")
        if normalize not in ("vocabulary", "level"):
            raise GenretError(f"normalize: found {normalize!r}, expected 'vocabulary' or 'level'")
        levels = [_checked(np.asarray(own), vocabulary, level) for level, own in enumerate(tokens)]
        self.codes_per_level = tuple(map(len, levels))
        self.normalize = normalize
        # Codes whose tokens follow each other are a slice of the table: nothing is gathered.
        self.firsts = tuple(int(t[0]) if (np.diff(t) == 1).all() else None for t in levels)
        self.complete = tuple(bool((t >= 0).all()) for t in levels)
        self.tokens = nnx.List([nnx.Variable(jnp.asarray(t)) for t in levels])

    def of(self, codes: Int[Array, "*batch"], level: int) -> Int[Array, "*batch"]:
        """Return the tokens of codes of a level."""
        first = self.firsts[level]
        if first is not None:
            return codes + first
        return self.tokens[level][...].at[codes].get(mode="clip")

    def readout(
        self, hidden: Float[Array, "*batch W"], table: Float[Array, "T W"], level: int
    ) -> Float[Array, "*batch V"]:
        """Return the float32 logits of a level, and with "vocabulary" that of everything else.

        Args:
          hidden: hidden states.
          table: the output embedding of the vocabulary.
          level: the level.
        """
        if self.normalize == "level":
            return self._codes(hidden, table, level)
        logits = readout(hidden, table)
        rest = jnp.where(self._is_code(level, table.shape[0]), -jnp.inf, logits)
        others = jax.nn.logsumexp(rest, axis=-1, keepdims=True)
        return jnp.concatenate([self._of_level(logits, level), others], axis=-1)

    def _is_code(self, level: int, vocabulary: int) -> Bool[Array, " T"]:
        """Say which tokens stand for a code of a level."""
        first, tokens = self.firsts[level], jnp.arange(vocabulary, dtype=jnp.int32)
        if first is not None:
            return (tokens >= first) & (tokens < first + self.codes_per_level[level])
        own = self.tokens[level][...]
        own = jnp.where(own < 0, vocabulary, own)  # dropped
        return jnp.zeros(vocabulary, bool).at[own].set(True, mode="drop")

    def _codes(
        self, hidden: Float[Array, "*batch W"], table: Float[Array, "T W"], level: int
    ) -> Float[Array, "*batch V"]:
        """Multiply the rows of a level's codes alone."""
        first, count = self.firsts[level], self.codes_per_level[level]
        if first is not None:
            return readout(hidden, table[first : first + count])
        rows = table.at[self.tokens[level][...]].get(mode="clip")
        return self._without_missing(readout(hidden, rows), level)

    def _of_level(self, logits: Float[Array, "*batch T"], level: int) -> Float[Array, "*batch V"]:
        """Take a level's logits from those of the vocabulary."""
        first, count = self.firsts[level], self.codes_per_level[level]
        if first is not None:
            return logits[..., first : first + count]
        own = logits.at[..., self.tokens[level][...]].get(mode="clip")
        return self._without_missing(own, level)

    def _without_missing(
        self, logits: Float[Array, "*batch V"], level: int
    ) -> Float[Array, "*batch V"]:
        if self.complete[level]:
            return logits
        there = jnp.broadcast_to(self.tokens[level][...] >= 0, logits.shape)
        return jnp.where(there, logits, -jnp.inf)


class Prompted(CachedSteps):
    """Base of the models that read a prompt and spell an item's codes as tokens of its vocabulary.

    Args:
      config: the architecture; ``codes_per_level`` is filled from ``code_tokens``.
      code_tokens: the tokens of the codes.
    """

    config: DecoderOnlyConfig | EncoderDecoderConfig

    def __init__(
        self, config: DecoderOnlyConfig | EncoderDecoderConfig, code_tokens: CodeTokens
    ) -> None:
        self.code_tokens = code_tokens
        self.config = dataclasses.replace(config, codes_per_level=code_tokens.codes_per_level)

    @property
    def codes_per_level(self) -> tuple[int, ...]:
        """Codes of each level, [L]."""
        return self.code_tokens.codes_per_level

    @abc.abstractmethod
    def prefill(self, history: Prompts) -> tuple[Float[Array, "B 1 V"], Cache]:
        """Read the prompts, once per request.

        Args:
          history: B prompts.

        Returns:
          The readout of the first code, float32 [B, 1, V] or [B, 1, V + 1] (see
          :class:`CodeTokens`), and the cache for :meth:`step`.
        """

    def _tokens(self, codes: Int[Array, "B M T"], level: int) -> Int[Array, "B M T"]:
        """Return the tokens of codes of the levels from ``level`` on."""
        own = [self.code_tokens.of(codes[..., i], level + i) for i in range(codes.shape[2])]
        return jnp.stack(own, axis=-1)


class PromptedDecoder(Prompted):
    """Reads a prompt, token by token, and spells an item's codes as tokens of the same vocabulary.

    The prompt may be text, semantic IDs or both; prompts of a batch differ as they like. This is
    how LC-Rec and its successors use a Llama or Qwen checkpoint.

    Source: Zheng et al., Adapting Large Language Models by Integrating Collaborative Semantics for
    Recommendation, 2024.

    Args:
      language_model: the Llama/Qwen model.
      config: its architecture; ``codes_per_level`` is filled from ``code_tokens``.
      code_tokens: for each level, the token of each code, int [V]. A last level of one token may
        stand for the end of the sequence, where a checkpoint was trained to say it.
      normalize: "vocabulary": log-probabilities are normalized over all tokens, as ``generate`` of
        transformers does; "level": over the codes of the level, without the logits of other tokens.

    Raises:
      GenretError: code tokens that are none of the vocabulary's, or that occur twice in a level.

    >>> config = DecoderOnlyConfig(width=16, heads=2, kv_heads=1, head_dim=8, mlp_dim=16)
    >>> language_model = LanguageModel(config, 20, rngs=nnx.Rngs(0))
    >>> model = PromptedDecoder(language_model, config, [[12, 13, 14], [19, 17]])
    >>> model.prefill(Prompts.from_lists([[3, 5, 12, 19, 2], [4]]))[0].shape
    (2, 1, 4)
    """

    def __init__(
        self,
        language_model: LanguageModel,
        config: DecoderOnlyConfig,
        code_tokens: Sequence[Any],
        *,
        normalize: str = "vocabulary",
    ) -> None:
        vocabulary = language_model.embedding.table.shape[0]
        super().__init__(config, CodeTokens(code_tokens, vocabulary, normalize))
        self.language_model = language_model

    def prefill(self, history: Prompts) -> tuple[Float[Array, "B 1 V"], Cache]:
        """Read the prompts, once per request; see :meth:`Prompted.prefill`."""
        tokens, model = history.tokens, self.language_model
        positions = np.arange(tokens.shape[1])[None]
        mask = causal_mask(jnp.ones_like(tokens))
        last = (history.lengths - 1)[:, None]
        hidden, keys, values = model(model.embed(tokens), positions, mask, wanted=last)
        cache = Cache.of_history(keys, values, history.lengths, hidden[:, 0])
        return self.readout(hidden, 0), cache

    def _extend(
        self, codes: Int[Array, "B M T"], cache: Cache
    ) -> tuple[Float[Array, "B M T W"], Cache]:
        new = jnp.arange(cache.level, cache.level + codes.shape[2], dtype=jnp.int32)
        positions = cache.shared_lengths[:, None] + new[None, :]
        x = self.language_model.embed(self._tokens(codes, cache.level))
        return self.language_model.blocks.extend(x, positions, cache)

    def readout(self, hidden: Float[Array, "*batch W"], level: int) -> Float[Array, "*batch V"]:
        """Return the float32 readout of a level; see :meth:`CodeTokens.readout`."""
        return self.code_tokens.readout(hidden, self.language_model.output_table, level)


def _checked(tokens: np.ndarray, vocabulary: int, level: int) -> Int[np.ndarray, " V"]:
    if tokens.ndim != 1 or tokens.size == 0 or tokens.dtype.kind not in "iu":
        raise GenretError(
            f"code tokens: level {level}: found {tokens.dtype} {tokens.shape}, expected integers [V]"
        )
    if tokens.min() < -1 or tokens.max() < 0 or tokens.max() >= vocabulary:
        raise GenretError(
            f"code tokens: level {level}: found {tokens.min()} to {tokens.max()}, expected tokens of "
            f"a vocabulary of {vocabulary}, or -1"
        )
    known = tokens[tokens >= 0]
    if len(np.unique(known)) < len(known):
        raise GenretError(f"code tokens: level {level}: a token stands for two codes")
    return tokens.astype(np.int32)
