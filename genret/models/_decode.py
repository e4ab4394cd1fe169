"""Decoding with a cache, the same for every model: one step, or all remaining codes at once."""

import abc
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from genret.config import ModelConfig
from genret.errors import GenretError
from genret.models._cache import Cache, take_beams
from genret.models._transformer import Transformer
from genret.typing import Array, Float, Int


class CachedDecoder(nnx.Module):
    """Base of the models: spells an item's codes after :meth:`prefill` has read the history.

    A model gives the input vectors of codes, the blocks that process them, and the logits of a
    level from a hidden state.
    """

    config: ModelConfig

    def __init__(self, config: ModelConfig) -> None:
        if not config.codes_per_level:
            raise GenretError(
                "codes_per_level: found none, expected the number of codes of each level"
            )
        self.config = config

    @property
    def codes_per_level(self) -> tuple[int, ...]:
        """Codes of each level, [L]."""
        return self.config.codes_per_level

    @property
    def _dtype(self) -> jnp.dtype:
        return jnp.dtype(self.config.dtype)

    def step(
        self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: Cache
    ) -> tuple[Float[Array, "B M V"], Cache]:
        """Take the codes just chosen and return the logits of the next level.

        Args:
          codes: a code of level ``cache.level`` for each beam, int32 [B, M].
          parents: the beam in ``cache`` that each one extends, int32 [B, M].
          cache: from :meth:`prefill` or the step before.

        Returns:
          Float32 logits [B, M, V] of level ``cache.level + 1``, and the cache that belongs to them.

        Raises:
          GenretError: the cache holds all codes but the last: no level follows.
        """
        if cache.level >= len(self.codes_per_level) - 1:
            raise GenretError(
                f"step: the cache is at level {cache.level}, the last of "
                f"{len(self.codes_per_level)}: no level follows"
            )
        hidden, cache = self._extend(codes[:, :, None], cache.of_beams(parents))
        return self._readout(hidden[:, :, -1], cache.level), cache

    def score_tail(
        self, codes: Int[Array, "B C T"], parents: Int[Array, "B C"], cache: Cache
    ) -> Float[Array, "B C T"]:
        """Score all remaining codes of candidates in one pass.

        Args:
          codes: codes of the levels ``cache.level`` to the last, int32 [B, C, T]; the first is one
            whose logits came with ``cache``.
          parents: the beam in ``cache`` that each candidate extends, int32 [B, C].
          cache: from :meth:`prefill` or :meth:`step`.

        Returns:
          Float32 log-probabilities [B, C, T], each normalised over its level's codes.

        Raises:
          GenretError: the number of codes is not the number of remaining levels.
        """
        tail, remaining = codes.shape[2], len(self.codes_per_level) - cache.level
        if tail != remaining:
            raise GenretError(
                f"score_tail: found {tail} codes a candidate, expected {remaining}: the cache is "
                f"at level {cache.level} of {len(self.codes_per_level)}"
            )
        # Many candidates may extend one beam: its logits are normalised before they are copied.
        log_probs = jax.nn.log_softmax(self._readout(cache.hidden, cache.level))
        scores = [_pick(take_beams(log_probs, parents), codes[:, :, 0])]
        if tail > 1:
            hidden, _ = self._extend(codes[:, :, :-1], cache.of_beams(parents))
            for i in range(1, tail):
                log_probs = jax.nn.log_softmax(self._readout(hidden[:, :, i - 1], cache.level + i))
                scores.append(_pick(log_probs, codes[:, :, i]))
        return jnp.stack(scores, axis=-1)

    def _extend(
        self, codes: Int[Array, "B M T"], cache: Cache
    ) -> tuple[Float[Array, "B M T W"], Cache]:
        """Process codes of the levels from ``cache.level`` on, for the beams of the cache."""
        inputs, positions = self._inputs(codes, cache)
        return self._code_blocks.extend(inputs, positions, cache)

    @property
    @abc.abstractmethod
    def _code_blocks(self) -> Transformer:
        """The blocks that process codes."""

    @abc.abstractmethod
    def _inputs(
        self, codes: Int[Array, "B M T"], cache: Cache
    ) -> tuple[Float[Array, "B M T W"], Int[Array, "B T"]]:
        """Return vectors and positions of codes of the levels from ``cache.level`` on."""

    @abc.abstractmethod
    def _readout(self, hidden: Float[Array, "*batch W"], level: int) -> Float[Array, "*batch V"]:
        """Return the float32 logits of a level's codes."""


def level_offsets(codes_per_level: Sequence[int], first: int = 0) -> list[int]:
    """Return the row of each level's code 0 in a table of all levels' codes, one after another.

    >>> level_offsets((4, 3, 2), first=1)
    [1, 5, 8]
    """
    return [first + sum(codes_per_level[:level]) for level in range(len(codes_per_level))]


def shift_right(
    x: Float[Array, "B T W"], first: Float[Array, " W"], segments: Int[Array, "B T"]
) -> Float[Array, "B T W"]:
    """Give each position the vector of the one before it, and ``first`` to a segment's start.

    segments  1  1  1  2  2  0
    x         a  b  c  d  e  -
    result    <  a  b  <  d  <        with ``<`` = first
    """
    before = jnp.pad(segments[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    shifted = jnp.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))
    return jnp.where(
        (segments != before)[:, :, None], first.astype(x.dtype)[None, None, :], shifted
    )


def _pick(values: Float[Array, "B C V"], codes: Int[Array, "B C"]) -> Float[Array, "B C"]:
    return jnp.take_along_axis(values, codes[:, :, None], axis=-1, mode="clip")[:, :, 0]
