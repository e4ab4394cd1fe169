"""GivenLogits: a model whose logits are arguments of the search, and logits whose scores are exact."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from genret.pytree import register_pytree, static_field
from genret.typing import Array, Float, Int


@register_pytree
@dataclasses.dataclass(frozen=True)
class GivenLevel:
    """State of a :class:`GivenLogits` between the levels: the level of the last readout."""

    level: int = static_field()


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class GivenLogits:
    """A model that costs nothing: its logits are given, one row for each beam.

    A history is the number of a row of ``first``.

    Attributes:
      first: the logits of level 0, [H, V_0].
      later: those of each later level, [B, M, V_l].

    >>> model, history = GivenLogits.random(2, 5, (4, 3), seed=0)
    >>> model.prefill(jnp.asarray(history))[0].shape, model.later[0].shape
    ((2, 1, 4), (2, 5, 3))
    """

    first: Float[Array, "H _"]
    later: tuple[Float[Array, "B M _"], ...]

    @classmethod
    def random(
        cls, batch: int, beams: int, codes_per_level: Sequence[int], *, seed: int
    ) -> tuple["GivenLogits", Int[np.ndarray, "B"]]:
        """Draw a model of :func:`exact_logits`.

        Args:
          batch: B, requests.
          beams: M.
          codes_per_level: codes of each level.
          seed: seed of the draw.

        Returns:
          The model, and histories int32 [B].
        """
        rng = np.random.default_rng(seed)
        first, *later = codes_per_level
        rows = [exact_logits(rng, 4 * batch, first)]
        rows += [exact_logits(rng, batch * beams, v).reshape(batch, beams, v) for v in later]
        history = rng.permutation(4 * batch)[:batch].astype(np.int32)
        return cls(first=jnp.asarray(rows[0]), later=tuple(map(jnp.asarray, rows[1:]))), history

    def prefill(self, history: Any) -> tuple[Float[Array, "B 1 V"], GivenLevel]:
        """See :meth:`genret.decoding.GenerativeModel.prefill`."""
        return self.first[history][:, None], GivenLevel(0)

    def step(
        self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: GivenLevel
    ) -> tuple[Float[Array, "B M V"], GivenLevel]:
        """Return the next level's logits, whatever the codes."""
        return self.later[cache.level], GivenLevel(cache.level + 1)


def exact_logits(rng: np.random.Generator, rows: int, codes: int) -> Float[np.ndarray, "R V"]:
    """Draw logits whose scores are exact in float32, in whatever order they are added.

    Each row has one code of logit 0; the others are multiples of 2**-12 between -30 and -64. Then
    the sum of the exponentials rounds to 1 and its logarithm to 0 (exactly it is below 1e-8), so
    every score is a sum of multiples of 2**-12. Two right searches agree bit by bit, equal scores
    included, and an answer can be asked to *be* the exact one.

    Args:
      rng: what draws.
      rows: R.
      codes: V.

    Returns:
      float32 [R, V].

    >>> exact_logits(np.random.default_rng(0), 1, 3).max(axis=1).tolist()
    [0.0]
    """
    steps = rng.integers(0, 34 << 12, (rows, codes), dtype=np.int32).astype(np.float32)
    logits = -30 - steps / 4096
    logits[np.arange(rows), rng.integers(0, codes, rows)] = 0
    return logits
