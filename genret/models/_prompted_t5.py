"""PromptedEncoderDecoder: a T5 that reads a prompt and spells an item's codes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from genret.config import EncoderDecoderConfig
from genret.models._cache import Cache
from genret.models._encoder_decoder import T5
from genret.models._prompted import CodeTokens, Prompted
from genret.models._prompts import Prompts
from genret.typing import Array, Float, Int


class PromptedEncoderDecoder(Prompted):
    """Reads a prompt with a two-way encoder and spells codes as tokens of the same vocabulary.

    This is how P5 and TIGER's open versions use a T5 checkpoint. The encoder reads the prompt's
    tokens as they are: one that ends with the end token in training has to end with it here.

    Source: Geng et al., Recommendation as Language Processing (P5), 2022.

    Args:
      t5: the model.
      config: its architecture; ``codes_per_level`` is filled from ``code_tokens``.
      code_tokens: for each level, the token of each code, int [V].
      normalize: as in :class:`PromptedDecoder`.
      start_token: the token that the decoder starts with.

    Raises:
      GenretError: code tokens that are none of the vocabulary's, or that occur twice in a level.

    >>> from flax import nnx
    >>> config = EncoderDecoderConfig(width=16, heads=2, head_dim=8, mlp_dim=16)
    >>> model = PromptedEncoderDecoder(T5(config, 20, rngs=nnx.Rngs(0)), config, [[12, 13], [19]])
    >>> model.prefill(Prompts.from_lists([[3, 5, 12, 1], [4, 1]]))[0].shape
    (2, 1, 3)
    """

    def __init__(
        self,
        t5: T5,
        config: EncoderDecoderConfig,
        code_tokens: Sequence[Any],
        *,
        normalize: str = "vocabulary",
        start_token: int = 0,
    ) -> None:
        vocabulary = t5.embedding.table.shape[0]
        super().__init__(config, CodeTokens(code_tokens, vocabulary, normalize))
        self.language_model = t5
        self.start_token = start_token

    def prefill(self, history: Prompts) -> tuple[Float[Array, "B 1 V"], Cache]:
        """Read the prompts, once per request; see :meth:`Prompted.prefill`."""
        t5 = self.language_model
        cache = t5.encode(t5.embed(history.tokens), history.lengths)
        start = t5.embed(jnp.full((history.tokens.shape[0], 1, 1), self.start_token, jnp.int32))
        states, cache = t5.decode(start, cache)
        return self.readout(states[:, :, 0], 0), _without_start(cache)

    def _extend(
        self, codes: Int[Array, "B M T"], cache: Cache
    ) -> tuple[Float[Array, "B M T W"], Cache]:
        t5 = self.language_model
        states, cache = t5.decode(t5.embed(self._tokens(codes, cache.level)), cache)
        return states, _without_start(cache)

    def readout(self, hidden: Float[Array, "*batch W"], level: int) -> Float[Array, "*batch V"]:
        """Return the float32 readout of a level; see :meth:`CodeTokens.readout`."""
        return self.code_tokens.readout(hidden, self.language_model.output_table, level)


def _without_start(cache: Cache) -> Cache:
    """Count the codes of the cache only: the start token is none."""
    return dataclasses.replace(cache, level=cache.paths.shape[2] - 1)
