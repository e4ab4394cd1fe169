"""The other trie of an index: which of its children a request may be answered."""

import dataclasses
from typing import Any

from genret.decoding._restriction import Restriction
from genret.decoding._state import NodeRange, take_beams
from genret.index.segment import Level
from genret.typing import Array, Bool, Int


@dataclasses.dataclass(frozen=True, kw_only=True)
class SecondTrie:
    """Where the same beams stand in another trie.

    Attributes:
      level: of the other trie.
      place: of the beams in it.
      restriction: what the requests may not be answered there; None forbids nothing.
    """

    level: Level
    place: NodeRange
    restriction: Restriction | None

    def holds(self, beams: Int[Array, "B C"], codes: Int[Array, "B C"]) -> Bool[Array, "B C"]:
        """Say which children are there and lead to an allowed row.

        Args:
          beams: int32, the beam that each extends.
          codes: int32, its code.
        """
        lo, hi = take_beams(self.place.lo, beams), take_beams(self.place.hi, beams)
        edges, found = self.level.child(lo, hi, codes)
        if self.restriction is None:
            return found
        begin, end = self.level.rows_of(edges, lo, hi)
        before, until = (self.restriction.allowed_before(rows) for rows in (begin, end))
        return found & (until > before)

    def split(self) -> tuple[Any, Any]:
        """Return what belongs to the requests and what they share, as two pytrees."""
        limits = self.restriction
        if limits is None:
            return (self.place, None), (self.level, None)
        own = dataclasses.replace(limits, filters=None)
        return (self.place, own), (self.level, limits.filters)

    @classmethod
    def join(cls, own: Any, shared: Any) -> "SecondTrie":
        """Undo :meth:`split`."""
        (place, limits), (level, filters) = own, shared
        if limits is not None:
            limits = dataclasses.replace(limits, filters=filters)
        return cls(level=level, place=place, restriction=limits)
