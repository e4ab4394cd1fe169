"""Spelling an item's codes one by one, with a cache of the states before."""

import abc

import jax
import jax.numpy as jnp
from flax import nnx

from genret.errors import GenretError
from genret.models._cache import Cache, take_beams
from genret.typing import Array, Float, Int


class CachedSteps(nnx.Module):
    """Base of the models whose ``prefill`` returns a cache that each code extends.

    After ``prefill`` has read the history, :meth:`step` and :meth:`score_tail` extend its cache.
    """

    @property
    @abc.abstractmethod
    def codes_per_level(self) -> tuple[int, ...]:
        """Codes of each level, [L]."""

    @abc.abstractmethod
    def readout(self, hidden: Float[Array, "*batch W"], level: int) -> Float[Array, "*batch V"]:
        """Return the float32 logits of a level's codes from states."""

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
        hidden, cache = self._extend(codes[:, :, None], cache.take_beams(parents))
        return self.readout(hidden[:, :, -1], cache.level), cache

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
          Float32 log-probabilities [B, C, T], each normalized over its level's codes.

        Raises:
          GenretError: the number of codes is not the number of remaining levels.
        """
        tail, remaining = codes.shape[2], len(self.codes_per_level) - cache.level
        if tail != remaining:
            raise GenretError(
                f"score_tail: found {tail} codes a candidate, expected {remaining}: the cache is "
                f"at level {cache.level} of {len(self.codes_per_level)}"
            )
        # Many candidates may extend one beam: its logits are normalized before they are copied.
        log_probs = jax.nn.log_softmax(self.readout(cache.hidden, cache.level))
        scores = [_pick(take_beams(log_probs, parents), codes[:, :, 0])]
        if tail > 1:
            hidden, _ = self._extend(codes[:, :, :-1], cache.take_beams(parents))
            for i in range(1, tail):
                log_probs = jax.nn.log_softmax(self.readout(hidden[:, :, i - 1], cache.level + i))
                scores.append(_pick(log_probs, codes[:, :, i]))
        return jnp.stack(scores, axis=-1)

    @abc.abstractmethod
    def _extend(
        self, codes: Int[Array, "B M T"], cache: Cache
    ) -> tuple[Float[Array, "B M T W"], Cache]:
        """Process codes of the levels from ``cache.level`` on, for the beams of the cache."""


def _pick(values: Float[Array, "B C V"], codes: Int[Array, "B C"]) -> Float[Array, "B C"]:
    return jnp.take_along_axis(values, codes[:, :, None], axis=-1, mode="clip")[:, :, 0]
