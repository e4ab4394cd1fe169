"""genret's index and step."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.methods._base import Beams, at
from genret import Policy, TrieIndex
from genret.decoding._beam_search import restrictions_of
from genret.decoding._state import BeamState
from genret.decoding._step import constrained_step
from genret.index import PolicyStack
from genret.typing import Array, Codes, Float


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Ours:
    """The step of :func:`genret.beam_search`.

    Attributes:
      index: the index.
      policies: the sets of allowed items; None allows all.
      policy_of: int32 [B], the one of each request.
    """

    index: Any
    policies: Any = None
    policy_of: Any = None

    name: ClassVar[str] = "genret"
    exact: ClassVar[bool] = True
    on_host: ClassVar[bool] = False

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        """Build the index."""
        return cls(index=TrieIndex.from_codes(codes, codes_per_level=codes_per_level))

    def insert(self, codes: Codes) -> Self:
        """Add items."""
        return dataclasses.replace(self, index=self.index.insert(codes))

    def refresh(self, codes: Codes) -> Self:
        """Take other items, in the room of those that were there."""
        counts = self.index.codes_per_level
        index = TrieIndex.from_codes(codes, codes_per_level=counts, like=self.index)
        return dataclasses.replace(self, index=index)

    def restrict(self, masks: Sequence[np.ndarray], policy_of: Sequence[int]) -> Self:
        """Let request b be answered the items of ``masks[policy_of[b]]`` alone."""
        policies = [Policy.from_mask(self.index, mask) for mask in masks]
        return dataclasses.replace(
            self,
            policies=PolicyStack.of(self.index, policies),
            policy_of=jnp.asarray(policy_of, jnp.int32),
        )

    @property
    def bytes(self) -> int:
        """Bytes of the index."""
        return self.index.nbytes

    def start(self, batch: int) -> Beams:
        """Return one beam a request, at the root."""
        return _beams(BeamState.at_root(self.index, batch), None)

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        """Extend the beams along edges of the trie."""
        policies, policy_of = self.policies, self.policy_of
        if policies is None and self.index.allowed is not None:  # items were removed or inserted
            policies, policy_of = self.index.allowed, jnp.zeros(beams.scores.shape[0], jnp.int32)
        limits = restrictions_of(self.index, policies, policy_of, None, None)
        state, parents = constrained_step(
            self.index, beams.level, beams.place, logits, limits, width, None
        )
        return _beams(state, parents)


def _beams(state: BeamState, parents: Any) -> Beams:
    if parents is None:
        parents = state.places[0].nodes
    return at(Beams(scores=state.scores, codes=state.codes, parents=parents, place=None), state)
