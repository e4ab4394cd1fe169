"""Masks over a whole vocabulary, for a sampling loop in JAX that is not ours."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from genret.decoding import legal_codes
from genret.errors import GenretError
from genret.index import TrieIndex
from genret.pytree import register_pytree, static_field
from genret.typing import Array, Bool, Int


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenMask:
    """Says which tokens may follow the tokens that were generated: those that spell an item.

    A pytree: it goes through ``jit`` as an argument. For a loop that keeps logits ``[B, T]`` and the
    tokens it has generated, ``jnp.where(mask(generated), logits, -jnp.inf)`` is all there is to do.

    Attributes:
      index: the items.
      tokens: for each level, the token of each code, int32 [V]; -1: none.
      codes: for each level, the code of each token of the vocabulary, int32 [T]; -1: none.
      end_token: what may follow a whole semantic ID; None: nothing.

    >>> index = TrieIndex.from_codes([[1, 0], [0, 1]])
    >>> mask = TokenMask.of(index, [[4, 5], [6, 7]], vocabulary=8)
    >>> mask(jnp.array([[5], [4]])).astype(int).tolist()
    [[0, 0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 1]]
    """

    index: TrieIndex
    tokens: tuple[Any, ...]
    codes: tuple[Any, ...]
    end_token: int | None = static_field()

    @classmethod
    def of(
        cls, index: TrieIndex, tokens: Any, *, vocabulary: int, end_token: int | None = None
    ) -> "TokenMask":
        """Make a mask.

        Args:
          index: the items.
          tokens: for each level, the token of each code, int [V].
          vocabulary: T, tokens of the vocabulary.
          end_token: what follows a whole semantic ID.

        Raises:
          GenretError: another number of levels than the index has, too few codes, or a token that
            is none of the vocabulary.
        """
        checked = check_tokens(index, tokens, vocabulary)
        return cls(
            index=index,
            tokens=tuple(map(jnp.asarray, checked)),
            codes=tuple(jnp.asarray(code_of_token(own, vocabulary)) for own in checked),
            end_token=end_token,
        )

    def __call__(self, generated: Int[Array, "B l"]) -> Bool[Array, "B T"]:
        """Say which tokens may come next.

        Args:
          generated: the tokens since the prompt, int32 [B, l]; l may change from call to call, and
            each l is a program of its own.
        """
        length, vocabulary = generated.shape[1], self.codes[0].shape[0]
        nothing = jnp.zeros((generated.shape[0], vocabulary), bool)
        if length >= self.index.depth:
            return nothing if self.end_token is None else nothing.at[:, self.end_token].set(True)
        prefix = jnp.stack(
            [own.at[generated[:, i]].get(mode="clip") for i, own in enumerate(self.codes[:length])],
            axis=1,
        ) if length else jnp.zeros((generated.shape[0], 0), jnp.int32)  # fmt: skip
        legal = legal_codes(self.index, prefix)
        tokens = self.tokens[length][: legal.shape[1]]
        tokens = jnp.where(tokens < 0, vocabulary, tokens)  # dropped
        return nothing.at[:, tokens].set(legal, mode="drop")


def check_tokens(index: TrieIndex, tokens: Any, vocabulary: int) -> list[Int[np.ndarray, " V"]]:
    """Return the tokens of each level as int32 after checking them against an index."""
    levels = [np.asarray(own) for own in tokens]
    if len(levels) != index.depth:
        raise GenretError(f"tokens: found {len(levels)} levels, the index has {index.depth}")
    for level, (own, count) in enumerate(zip(levels, index.codes_per_level, strict=True)):
        if own.ndim != 1 or own.dtype.kind not in "iu" or len(own) < count:
            raise GenretError(
                f"tokens: level {level}: found {own.dtype} {own.shape}, expected integers "
                f"[{count}] or more"
            )
        if own.min() < -1 or own.max() >= vocabulary:
            raise GenretError(
                f"tokens: level {level}: found {own.min()} to {own.max()}, expected -1 to "
                f"{vocabulary - 1}"
            )
    return [own.astype(np.int32) for own in levels]


def code_of_token(tokens: Int[np.ndarray, " V"], vocabulary: int) -> Int[np.ndarray, " T"]:
    """Return the code of each token of the vocabulary; -1: none."""
    codes = np.full(vocabulary, -1, np.int32)
    there = tokens >= 0
    codes[tokens[there]] = np.flatnonzero(there)
    return codes
