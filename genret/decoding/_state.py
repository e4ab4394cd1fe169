"""What the search keeps of its beams, and what it answers."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from genret.typing import Array, Int, Shaped


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class BeamState:
    """The beams of a batch before some level; at level 0 there is one, later there are M.

    Beams are in descending order of score; a beam that is not valid has score -inf, node 0 and
    codes 0, so that it can be looked up like any other.

    Attributes:
      scores: float32 [B, M], sums of log-probabilities.
      nodes: int32 [B, M], nodes of the level.
      codes: int32 [B, M, level], the codes so far.
      valid: bool [B, M].
    """

    scores: Any
    nodes: Any
    codes: Any
    valid: Any

    @classmethod
    def at_root(cls, batch: int) -> "BeamState":
        """Return one beam a request, at the root."""
        return cls(
            scores=jnp.zeros((batch, 1), jnp.float32),
            nodes=jnp.zeros((batch, 1), jnp.int32),
            codes=jnp.zeros((batch, 1, 0), jnp.int32),
            valid=jnp.ones((batch, 1), bool),
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class BeamResult:
    """The best items of each request, best first; padded where there are fewer than M.

    Attributes:
      items: int32 [B, M], item positions; padding: -1.
      scores: float32 [B, M], log-probabilities of the items' codes; padding: -inf.
      codes: int32 [B, M, L]; padding: -1.
      valid: bool [B, M], False for padding.
    """

    items: Any
    scores: Any
    codes: Any
    valid: Any


def of_beams(
    values: Shaped[Array, "B M *rest"], beams: Int[Array, "B N"]
) -> Shaped[Array, "B N *rest"]:
    """Take the values of some beams of each request."""
    where = beams.reshape(*beams.shape, *[1] * (values.ndim - 2))
    return jnp.take_along_axis(values, where, axis=1, mode="clip")
