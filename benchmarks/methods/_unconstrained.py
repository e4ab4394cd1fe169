"""No constraint at all: what every other method is compared with. Its answers need not exist."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import jax

from benchmarks.methods._base import Beams, masked_step, root
from genret.typing import Array, Codes, Float


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Unconstrained:
    """A beam search over all codes."""

    name: ClassVar[str] = "unconstrained"
    exact: ClassVar[bool] = False
    on_host: ClassVar[bool] = False

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        """Build nothing."""
        del codes, codes_per_level
        return cls()

    def restrict(self, masks: Any, filter_of: Any) -> Self:
        """Obey nothing."""
        del masks, filter_of
        return self

    @property
    def bytes(self) -> int:
        """None."""
        return 0

    def start(self, batch: int) -> Beams:
        """Return one beam a request."""
        return root(batch, None)

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        """Choose among all codes of all beams."""
        return masked_step(logits, None, beams, width)[0]
