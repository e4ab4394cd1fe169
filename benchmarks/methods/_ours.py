"""genret's index and search."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np

from benchmarks.methods._base import Beams, Method
from genret import ItemFilter, TrieIndex, beam_search
from genret.index import FilterStack, LiveIndex
from genret.pytree import register_pytree
from genret.typing import Array, Codes, Int


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Ours(Method):
    """:func:`genret.beam_search`, as users call it."""

    index: TrieIndex | LiveIndex
    filters: FilterStack | None = None  # the sets of allowed items; None allows all
    filter_of: Int[Array, "B"] | None = None  # the set of each request

    name: ClassVar[str] = "genret"
    of_items: ClassVar[bool] = True

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        return cls(index=TrieIndex.from_codes(codes, codes_per_level=codes_per_level))

    def insert(self, codes: Codes) -> Self:
        live = self.index if isinstance(self.index, LiveIndex) else LiveIndex(self.index)
        return dataclasses.replace(self, index=live.insert(codes))

    def refresh(self, codes: Codes) -> Self:
        counts = self.index.codes_per_level
        index = TrieIndex.from_codes(codes, codes_per_level=counts, like=self.index)
        return dataclasses.replace(self, index=index)

    def restrict(self, masks: Sequence[np.ndarray], filter_of: Sequence[int]) -> Self:
        filters = [ItemFilter.from_mask(self.index, mask) for mask in masks]
        stack = FilterStack.of(self.index, filters)
        return dataclasses.replace(self, filters=stack, filter_of=jnp.asarray(filter_of, jnp.int32))

    @property
    def bytes(self) -> int:
        return self.index.nbytes

    def search(self, model: Any, history: Any, levels: int, beams: int) -> Beams:
        rules = (
            {"filters": self.filters, "filter_of": self.filter_of}
            if self.filters is not None
            else {}
        )
        found = beam_search(model, history, self.index, beams=beams, **rules)
        parents = jnp.zeros_like(found.items)
        return Beams(scores=found.scores, codes=found.codes, parents=parents, place=None)
