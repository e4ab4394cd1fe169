"""The sizes at which the op is tested, compiled and timed."""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArgSpec:
    """One size of the op.

    Attributes:
      batch: B, requests.
      candidates: C, candidates of a request.
      m: how many to choose.
    """

    batch: int
    candidates: int
    m: int

    def args(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Return the shapes and types of the op's arrays, in its order."""
        return (jax.ShapeDtypeStruct((self.batch, self.candidates), jnp.float32),)


# The beams of STATIC (arXiv 2602.22647) and of a full batch; each beam has all 2048 codes, or the
# few children of a node of a deep level.
ARG_SPECS = {
    f"{name}-{children}": ArgSpec(batch=batch, candidates=beams * children, m=beams)
    for name, batch, beams in (("paper", 2, 70), ("batch", 16, 512))
    for children in (64, 2048)
}
"""Sizes by name."""
