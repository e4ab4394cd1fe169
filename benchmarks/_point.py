"""A point: a size at which methods are compared."""

import dataclasses

from benchmarks._draws import Kind
from benchmarks.methods import METHODS
from benchmarks.models import Size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """A size at which methods are compared.

    Attributes:
      items: |C|.
      codes: V.
      depth: L.
      batch: B.
      beams: M.
      kind: how codes are drawn.
      filters: sets of allowed items in a batch, half of all items each; 0: none.
      inserted: share of the items that come when the index is built already; 0: none.
      methods: names; the first is what the others are compared with.
      model: None: logits are given and cost nothing.
      by_level: whether each step is also timed alone.
      repeats: rounds at most.
      processes: fresh processes that share the rounds; 0: the calling process measures.
      seconds: of all methods together; one that used its share has no more rounds, once it has three.
    """

    items: int
    codes: int
    depth: int
    batch: int
    beams: int
    kind: Kind = "uniform"
    filters: int = 0
    inserted: float = 0.0
    methods: tuple[str, ...] = tuple(METHODS)
    model: Size | None = None
    by_level: bool = False
    repeats: int = 150
    processes: int = 0
    seconds: float = 40.0

    @property
    def key(self) -> str:
        """Name of the point, unique in a run."""
        model = "given logits" if self.model is None else self.model
        more = f" filters={self.filters}" if self.filters else ""
        more += f" inserted={self.inserted:g}" if self.inserted else ""
        return (
            f"{model} |C|={self.items} V={self.codes} L={self.depth} "
            f"B={self.batch} M={self.beams} {self.kind}{more}"
        )
