"""Base of the models that give all codes of an item in one pass, independent given the history."""

import abc

import jax
import jax.numpy as jnp

from genret.errors import GenretError
from genret.models._decode import CodeModel, level_offsets
from genret.models._history import History
from genret.typing import Array, Float, Int

Levels = tuple[Float[Array, "B 1 _"], ...]
"""Log-probabilities of the codes of the levels from the current one on."""


class ParallelCodes(CodeModel):
    """A model that is asked once per request: the codes of an item do not depend on each other."""

    @abc.abstractmethod
    def __call__(self, history: History) -> tuple[Float[Array, "B _"], ...]:
        """Return the float32 logits of every level's codes, [B, V] each."""

    def prefill(self, history: History) -> tuple[Float[Array, "B 1 V"], Levels]:
        """Read the histories, once per request; see :class:`genret.decoding.GenerativeModel`."""
        levels = tuple(jax.nn.log_softmax(logits)[:, None] for logits in self(history))
        return levels[0], levels

    def step(
        self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: Levels
    ) -> tuple[Float[Array, "B 1 V"], Levels]:
        """Return the next level's logits: they are known already, the same for all beams.

        Raises:
          GenretError: no level follows.
        """
        if len(cache) < 2:
            depth = len(self.codes_per_level)
            raise GenretError(
                f"step: the cache is at level {depth - 1}, the last of {depth}: no level follows"
            )
        return cache[1], cache[1:]

    def score_tail(
        self, codes: Int[Array, "B C T"], parents: Int[Array, "B C"], cache: Levels
    ) -> Float[Array, "B C T"]:
        """Score the remaining codes of candidates; see :class:`genret.decoding.GenerativeModel`.

        Raises:
          GenretError: the number of codes is not the number of remaining levels.
        """
        if codes.shape[2] != len(cache):
            depth = len(self.codes_per_level)
            raise GenretError(
                f"score_tail: found {codes.shape[2]} codes a candidate, expected {len(cache)}: "
                f"the cache is at level {depth - len(cache)} of {depth}"
            )
        picked = [
            jnp.take_along_axis(level[:, 0], codes[:, :, at], axis=1, mode="clip")
            for at, level in enumerate(cache)
        ]
        return jnp.stack(picked, axis=-1)

    def _output_vectors(
        self, level: int, codes: Int[Array, "*codes"] | None = None
    ) -> Float[Array, "*codes W"]:
        first = level_offsets(self.codes_per_level)[level]
        table = (self.embedding if self.output is None else self.output).table[...]
        if codes is None:
            return table[first : first + self.codes_per_level[level]]
        return table.at[first + codes].get(mode="clip")
