"""What the search keeps of its beams, and what it answers."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from genret.index import TrieIndex
from genret.typing import Array, Int, Shaped


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeRange:
    """Where beams stand in the trie of one segment of the index.

    Attributes:
      nodes: int32 [B, M], nodes of the level.
      lo: int32 [B, M], the first row below each node.
      hi: int32 [B, M], the row after the last one; equal to ``lo``: the beam is not in this trie.
    """

    nodes: Any
    lo: Any
    hi: Any

    @classmethod
    def where(cls, valid: Any, place: "NodeRange") -> "NodeRange":
        """Return a place with nothing below the beams that are not valid."""
        return cls(
            nodes=jnp.where(valid, place.nodes, 0),
            lo=jnp.where(valid, place.lo, 0),
            hi=jnp.where(valid, place.hi, 0),
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class BeamState:
    """The beams of a batch before some level; at level 0 there is one, later there are M.

    Beams are in the order of their keys, descending; a beam that is not valid has score -inf, node
    0, no rows and codes 0, so that it can be looked up like any other.

    Attributes:
      scores: float32 [B, M], sums of log-probabilities.
      keys: float32 [B, M], what beams are ranked by; None: by their scores.
      places: where the beams stand, for each segment of the index.
      codes: int32 [B, M, level], the codes so far.
      valid: bool [B, M].
    """

    scores: Any
    keys: Any
    places: tuple[NodeRange, ...]
    codes: Any
    valid: Any

    @classmethod
    def at_root(cls, index: TrieIndex, batch: int, sampling: bool = False) -> "BeamState":
        """Return one beam a request, at the root."""
        zeros = jnp.zeros((batch, 1), jnp.int32)
        scores = jnp.zeros((batch, 1), jnp.float32)
        return cls(
            scores=scores,
            keys=scores if sampling else None,
            places=tuple(
                NodeRange(nodes=zeros, lo=zeros, hi=jnp.broadcast_to(segment.num_rows, zeros.shape))
                for segment in index.segments
            ),
            codes=jnp.zeros((batch, 1, 0), jnp.int32),
            valid=jnp.ones((batch, 1), bool),
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidates:
    """The best candidates of a level in one segment, best first; padded.

    Attributes:
      scores: float32 [B, M], -inf for padding.
      keys: float32 [B, M], what they are ranked by, -inf for padding; None: by their scores.
      parents: int32 [B, M], the beam that each extends.
      codes: int32 [B, M], its code.
      place: where it stands.
    """

    scores: Any
    keys: Any
    parents: Any
    codes: Any
    place: NodeRange

    @property
    def order(self) -> Array:
        """What the candidates are ranked by."""
        return self.scores if self.keys is None else self.keys


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class BeamResult:
    """The best items of each request, best first; padded where there are fewer than M.

    Attributes:
      items: int32 [B, M], item positions; padding: -1.
      scores: float32 [B, M], log-probabilities of the items' codes; padding: -inf.
      codes: int32 [B, M, L]; padding: -1; so are the levels after an end code.
      valid: bool [B, M], False for padding.
    """

    items: Any
    scores: Any
    codes: Any
    valid: Any


def take_beams(
    values: Shaped[Array, "B M *rest"], beams: Int[Array, "B N"]
) -> Shaped[Array, "B N *rest"]:
    """Take the values of some beams of each request."""
    where = beams.reshape(*beams.shape, *[1] * (values.ndim - 2))
    return jnp.take_along_axis(values, where, axis=1, mode="clip")
