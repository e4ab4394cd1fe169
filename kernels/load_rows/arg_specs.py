"""The sizes at which the op is tested, compiled and counted."""

import dataclasses

import jax
import jax.numpy as jnp

from ..rows_level.layout import LANES, num_records


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArgSpec:
    """One size of the op.

    Attributes:
      batch: B, requests.
      beams: M, beams of a request.
      lines: T, lines of the table.
      pairs: words of a row.
      stride: rows of a beam, at most.
      step: rows after which the next line begins.
      held: rows of a line.
    """

    batch: int
    beams: int
    lines: int
    pairs: int
    stride: int
    step: int
    held: int

    def args(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Return the shapes and types of the op's arrays, in its order."""
        held = (self.batch, num_records(self.beams))
        return (
            jax.ShapeDtypeStruct((self.lines, LANES), jnp.int32),
            jax.ShapeDtypeStruct((*held, LANES), jnp.int32),
        )


# The beams of STATIC (arXiv 2602.22647) over a million items, six of whose eight codes are left.
ARG_SPECS = {
    f"paper-{batch}-{held}": ArgSpec(
        batch=batch, beams=70, lines=31_252, pairs=3, stride=8, step=32, held=held
    )
    for batch in (2, 16)
    for held in (32, 42)
}
"""Sizes by name."""
