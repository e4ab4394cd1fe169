"""The sizes at which the op is tested, compiled and counted."""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArgSpec:
    """One size of the op.

    Attributes:
      batch: B, requests.
      held: M, beams of a request.
      num_codes: V, codes of the level.
      beams: K, how many to choose.
    """

    batch: int
    held: int
    num_codes: int
    beams: int

    def args(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Return the shapes and types of the op's arrays, in its order."""
        held = (self.batch, self.held)
        return (
            jax.ShapeDtypeStruct((*held, self.num_codes), jnp.float32),
            jax.ShapeDtypeStruct((*held, self.num_codes // 32), jnp.uint32),
            jax.ShapeDtypeStruct(held, jnp.float32),
        )


# The beams of STATIC (arXiv 2602.22647): at the root, and at the level below it.
ARG_SPECS = {
    f"paper-{name}-{codes}": ArgSpec(batch=2, held=held, num_codes=codes, beams=70)
    for name, held in (("root", 1), ("second", 70))
    for codes in (256, 2048)
}
"""Sizes by name."""
