"""The sizes at which the op is tested, compiled and counted."""

import dataclasses

import jax
import jax.numpy as jnp

from .layout import LANES, num_records


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArgSpec:
    """One size of the op.

    Attributes:
      batch: B, requests.
      beams: M, beams of a request.
      num_codes: V, codes of the level.
      width: rows of a beam, at most.
    """

    batch: int
    beams: int
    num_codes: int
    width: int

    def args(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Return the shapes and types of the op's arrays, in its order."""
        return (
            jax.ShapeDtypeStruct((self.batch, self.beams, self.num_codes), jnp.float32),
            jax.ShapeDtypeStruct((self.batch, num_records(self.beams), LANES), jnp.int32),
            jax.ShapeDtypeStruct((self.batch,), jnp.int32),
        )


# The beams of STATIC (arXiv 2602.22647), at levels whose nodes have one item to thirty-two.
ARG_SPECS = {
    f"paper-{width}": ArgSpec(batch=2, beams=70, num_codes=2048, width=width)
    for width in (1, 2, 8, 32)
}
"""Sizes by name."""
