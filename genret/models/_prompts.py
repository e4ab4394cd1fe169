"""Prompts as a model reads them: tokens of a checkpoint's own vocabulary, right-padded."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from genret.errors import GenretError
from genret.pytree import register_pytree
from genret.typing import Array, Int


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Prompts:
    """The tokens of each request's prompt, right-padded.

    Attributes:
      tokens: int32 [B, T]; what lies after a prompt's end never matters.
      lengths: tokens of each prompt, at least 1, int32 [B].
    """

    tokens: Int[Array, "B T"]
    lengths: Int[Array, " B"]

    @classmethod
    def from_lists(cls, prompts: Sequence[Any], length: int | None = None) -> "Prompts":
        """Pad prompts to one length, on the host.

        Args:
          prompts: the tokens of each.
          length: T; None takes that of the longest, rounded up to a multiple of 32: few shapes, few
            programs.

        Returns:
          The prompts.

        Raises:
          GenretError: no prompts, an empty one, one longer than ``length``, or something that is
            no token.

        >>> Prompts.from_lists([[5, 6], [7]], length=3).tokens.tolist()
        [[5, 6, 0], [7, 0, 0]]
        """
        lengths = np.array([len(tokens) for tokens in prompts], np.int32)
        if not len(lengths):
            raise GenretError("prompts: found none")
        if length is None:
            length = -(-int(lengths.max()) // 32) * 32
        wrong = np.flatnonzero((lengths < 1) | (lengths > length))
        if len(wrong):
            raise GenretError(
                f"prompts: prompt {wrong[0]} has {lengths[wrong[0]]} tokens, expected 1 to {length}"
            )
        padded = np.zeros((len(lengths), length), np.int32)
        for row, tokens in enumerate(prompts):
            values = np.asarray(tokens)
            if values.dtype.kind not in "iu" or values.min() < 0:
                raise GenretError(f"prompts: prompt {row}: expected integers of 0 or more")
            padded[row, : len(tokens)] = values
        return cls(tokens=jnp.asarray(padded), lengths=jnp.asarray(lengths))
