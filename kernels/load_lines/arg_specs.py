"""The sizes at which the op is tested, compiled and counted."""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArgSpec:
    """One size of the op.

    Attributes:
      lines: T, lines of the table.
      count: N, lines to read.
    """

    lines: int
    count: int

    def args(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Return the shapes and types of the op's arrays, in its order."""
        return (
            jax.ShapeDtypeStruct((self.lines, 128), jnp.int32),
            jax.ShapeDtypeStruct((self.count,), jnp.int32),
        )


# The beams of STATIC (arXiv 2602.22647) at a ragged level over a million items.
ARG_SPECS = {f"paper-{batch}": ArgSpec(lines=40_000, count=70 * batch) for batch in (2, 16)}
"""Sizes by name."""
