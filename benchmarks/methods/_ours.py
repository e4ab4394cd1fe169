"""genret's index and step."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.methods._base import Beams, at
from genret import ItemFilter, TrieIndex
from genret.decoding.accelerated import next_beams
from genret.decoding.beams import BeamState
from genret.decoding.live import searched_of
from genret.index import FilterStack, LiveIndex
from genret.typing import Array, Codes, Float


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Ours:
    """The step of :func:`genret.beam_search`.

    Attributes:
      index: the index.
      filters: the sets of allowed items; None allows all.
      filter_of: int32 [B], the one of each request.
    """

    index: Any
    filters: Any = None
    filter_of: Any = None

    name: ClassVar[str] = "genret"
    exact: ClassVar[bool] = True
    on_host: ClassVar[bool] = False

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        """Build the index."""
        return cls(index=TrieIndex.from_codes(codes, codes_per_level=codes_per_level))

    def insert(self, codes: Codes) -> Self:
        """Add items."""
        live = self.index if isinstance(self.index, LiveIndex) else LiveIndex(self.index)
        return dataclasses.replace(self, index=live.insert(codes))

    def refresh(self, codes: Codes) -> Self:
        """Take other items, in the room of those that were there."""
        counts = self.index.codes_per_level
        index = TrieIndex.from_codes(codes, codes_per_level=counts, like=self.index)
        return dataclasses.replace(self, index=index)

    def restrict(self, masks: Sequence[np.ndarray], filter_of: Sequence[int]) -> Self:
        """Let request b be answered the items of ``masks[filter_of[b]]`` alone."""
        filters = [ItemFilter.from_mask(self.index, mask) for mask in masks]
        return dataclasses.replace(
            self,
            filters=FilterStack.of(self.index, filters),
            filter_of=jnp.asarray(filter_of, jnp.int32),
        )

    @property
    def bytes(self) -> int:
        """Bytes of the index."""
        return self.index.nbytes

    def start(self, batch: int) -> Beams:
        """Return one beam a request, at the root."""
        root = BeamState.at_root(searched_of(self.index, None, None, None, None), batch)
        at_root = jnp.zeros((batch, 1), jnp.int32)
        return _beams(root, at_root)

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        """Extend the beams along edges of the trie."""
        filter_of = self.filter_of
        if filter_of is None:  # of what is not removed, where items were removed or inserted
            filter_of = jnp.zeros(beams.scores.shape[0], jnp.int32)
        searched = searched_of(self.index, self.filters, filter_of, None, None)
        state, parents = next_beams(searched, beams.level, beams.place, logits, width)
        return _beams(state, parents)


def _beams(state: BeamState, parents: Any) -> Beams:
    return at(Beams(scores=state.scores, codes=state.codes, parents=parents, place=None), state)
