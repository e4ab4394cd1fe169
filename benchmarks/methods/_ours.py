"""genret's index and step."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import jax

from benchmarks.methods._base import Beams, at
from genret import TrieIndex
from genret.decoding._state import BeamState
from genret.decoding._step import constrained_step
from genret.typing import Array, Codes, Float


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Ours:
    """The step of :func:`genret.beam_search`."""

    index: Any

    name: ClassVar[str] = "genret"
    exact: ClassVar[bool] = True
    on_host: ClassVar[bool] = False

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        """Build the index."""
        return cls(index=TrieIndex.from_codes(codes, codes_per_level=codes_per_level))

    @property
    def bytes(self) -> int:
        """Bytes of the index."""
        return self.index.nbytes

    def start(self, batch: int) -> Beams:
        """Return one beam a request, at the root."""
        return _beams(BeamState.at_root(self.index, batch), None)

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        """Extend the beams along edges of the trie."""
        state, parents = constrained_step(
            self.index, beams.level, beams.place, logits, (None,), width, None
        )
        return _beams(state, parents)


def _beams(state: BeamState, parents: Any) -> Beams:
    if parents is None:
        parents = state.places[0].nodes
    return at(Beams(scores=state.scores, codes=state.codes, parents=parents, place=None), state)
