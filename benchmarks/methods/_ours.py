"""genret's index and step."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np

from benchmarks.methods._base import Beams, Method
from genret import ItemFilter, TrieIndex
from genret.decoding.accelerated import next_beams
from genret.decoding.arguments import searched_of
from genret.decoding.beams import BeamState
from genret.index import FilterStack, LiveIndex
from genret.pytree import register_pytree
from genret.typing import Array, Codes, Float, Int


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Ours(Method):
    """The step of :func:`genret.beam_search`."""

    index: TrieIndex | LiveIndex
    filters: FilterStack | None = None  # the sets of allowed items; None allows all
    filter_of: Int[Array, "B"] | None = None  # the set of each request

    name: ClassVar[str] = "genret"

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
        stack = FilterStack.of(self.index, filters)
        return dataclasses.replace(self, filters=stack, filter_of=jnp.asarray(filter_of, jnp.int32))

    @property
    def bytes(self) -> int:
        """Bytes of the index."""
        return self.index.nbytes

    def root(self, zeros: Int[Array, "B 1"]) -> BeamState:
        """Return the root of the search."""
        return BeamState.at_root(searched_of(self.index, None, None, None, None), len(zeros))

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        """Extend the beams along edges of the trie."""
        filter_of: Any = self.filter_of
        if filter_of is None:  # of what is not removed, where items were removed or inserted
            filter_of = jnp.zeros(beams.scores.shape[0], jnp.int32)
        searched = searched_of(self.index, self.filters, filter_of, None, None)
        state, parents = next_beams(searched, beams.level, beams.place, logits, width)
        return Beams(scores=state.scores, codes=state.codes, parents=parents, place=state)
