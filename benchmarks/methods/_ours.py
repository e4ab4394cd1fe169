"""genret's index and search."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np

from benchmarks.methods._base import Beams, Method
from genret import BeamResult, ItemFilter, TrieIndex, beam_search
from genret.index import FilterStack, LiveIndex
from genret.pytree import register_pytree
from genret.typing import Array, Codes, Int


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Ours(Method):
    """:func:`genret.beam_search`, as users call it."""

    index: TrieIndex | LiveIndex
    seen: Int[Array, "B S"] | None = None  # items that a request must not be answered
    filter_of: Int[Array, "B"] | None = None  # the set of each request
    filters: FilterStack | None = None  # the sets of allowed items; None allows all

    name: ClassVar[str] = "genret"
    of_items: ClassVar[bool] = True

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        return cls(index=TrieIndex.from_codes(codes, codes_per_level=codes_per_level))

    def to(self, platform: str) -> Self:
        return dataclasses.replace(self, index=self.index.to(platform))

    def refresh(self, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        return type(self)(
            index=TrieIndex.from_codes(codes, codes_per_level=codes_per_level, like=self.index)
        )

    def insert(self, base: Codes, late: Codes, codes_per_level: Sequence[int]) -> Self:
        return dataclasses.replace(self, index=LiveIndex(self.index).insert(late))

    def restrict(
        self, masks: Sequence[np.ndarray], filter_of: np.ndarray, seen: np.ndarray
    ) -> Self:
        filters = {}
        if masks:
            each = [ItemFilter.from_mask(self.index, mask) for mask in masks]
            stack = FilterStack.of(self.index, each)
            filters = {"filters": stack, "filter_of": jnp.asarray(filter_of)}
        return dataclasses.replace(self, seen=jnp.asarray(seen) if seen.size else None, **filters)

    @property
    def bytes(self) -> int:
        return self.index.nbytes

    def answer(self, model: Any, history: Any, beams: int) -> BeamResult:
        """Search as users do."""
        rules = {"filters": self.filters, "filter_of": self.filter_of, "exclude": self.seen}
        return beam_search(model, history, self.index, beams=beams, **rules)

    def search(self, model: Any, history: Any, levels: int, beams: int) -> Beams:
        found = self.answer(model, history, beams)
        parents = jnp.zeros_like(found.items)
        return Beams(scores=found.scores, codes=found.codes, parents=parents, place=None)
