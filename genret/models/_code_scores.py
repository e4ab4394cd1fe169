"""Items scored by the sum of their codes, as a model whose semantic ID is the item itself."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from genret.errors import GenretError
from genret.models._history import History
from genret.models._rpg import RPG
from genret.pytree import register_pytree
from genret.typing import Array, Float, Int, Integer


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class CodeScores:
    r"""Scores every item by the sum of the log-probabilities of its codes.

    .. math:: s_i = \sum_l \log p(c_{i,l} \mid h)

    It is searched like a model whose item i has the one code i, as SASRec is: nothing is pruned, and
    no code comes before another. That takes B N L additions, and no more memory than the codes and
    the scores.

    Attributes:
      model: a model that returns the logits of all levels when it is called.
      codes: the codes of every item, [N, L], of any integer type.

    >>> from genret.config import RPGConfig
    >>> from genret.models import build_model
    >>> config = RPGConfig(codes_per_level=(8, 4), width=16, heads=2, kv_heads=1, head_dim=8)
    >>> scores = CodeScores.of(build_model(config, 0), np.array([[0, 1], [7, 3], [0, 1]]))
    >>> history = History.from_items([[0, 1], [7, 3], [0, 1]], [[1]], max_items=3)
    >>> scores.prefill(history)[0].shape
    (1, 1, 3)
    """

    model: RPG
    codes: Integer[Array, "N L"]

    @classmethod
    def of(
        cls, model: RPG, codes: Integer[Array, "N L"] | Integer[np.ndarray, "N L"]
    ) -> "CodeScores":
        """Return the scores of items; their codes are kept in the smallest type that holds them."""
        most = max(model.codes_per_level) - 1
        return cls(model=model, codes=jnp.asarray(codes, np.min_scalar_type(most)))

    def prefill(self, history: History) -> tuple[Float[Array, "B 1 N"], None]:
        """Read the histories, once per request.

        Args:
          history: B histories.

        Returns:
          Float32 scores [B, 1, N] of the next item, and no cache: no level follows.
        """
        log_probs = [jax.nn.log_softmax(logits) for logits in self.model(history)]
        return sum_of_codes(log_probs, self.codes)[:, None], None

    def step(self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: None) -> None:
        """Refuse: an item is one code, so no level follows.

        Raises:
          GenretError: always.
        """
        raise GenretError("step: items are scored whole: no level follows")


def sum_of_codes(
    log_probs: Sequence[Float[Array, "B _"]], codes: Integer[Array, "N L"]
) -> Float[Array, "B N"]:
    """Return for each item the sum of a number for each of its codes.

    Args:
      log_probs: for each level, a number for each of its codes, float32 [B, V].
      codes: the codes of the items.

    >>> sum_of_codes([jnp.array([[1.0, 2.0]]), jnp.array([[0.5, 0.25]])], jnp.array([[0, 1], [1, 1]]))
    Array([[1.25, 2.25]], dtype=float32)
    """
    parts = (
        values.at[:, codes[:, level]].get(mode="clip") for level, values in enumerate(log_probs)
    )
    return functools.reduce(jnp.add, parts)
