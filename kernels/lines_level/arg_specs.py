"""The sizes at which the op is tested, compiled and counted."""

import dataclasses

import jax
import jax.numpy as jnp

from ..rows_level.layout import LANES, num_records
from .layout import LinesLayout


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArgSpec:
    """One size of the op.

    Attributes:
      batch: B, requests.
      beams: M, beams of a request.
      layout: the static facts of the lines.
    """

    batch: int
    beams: int
    layout: LinesLayout

    def args(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Return the shapes and types of the op's arrays, in its order."""
        lines = jax.ShapeDtypeStruct((1 << 14, LANES), jnp.int32)
        return (
            jax.ShapeDtypeStruct((self.batch, self.beams, self.layout.num_codes), jnp.float32),
            jax.ShapeDtypeStruct((self.batch, num_records(self.beams), LANES), jnp.int32),
            jax.ShapeDtypeStruct((self.batch,), jnp.int32),
            lines,
            lines,
        )


# The beams of STATIC (arXiv 2602.22647).
ARG_SPECS = {
    f"paper-{codes}": ArgSpec(
        batch=2, beams=70, layout=LinesLayout(num_codes=codes, wide=1 << 12, numbered=True)
    )
    for codes in (256, 2048, 8192)
} | {
    "many": ArgSpec(
        batch=8, beams=512, layout=LinesLayout(num_codes=4096, wide=1 << 12, numbered=True)
    )
}
"""Sizes by name."""
