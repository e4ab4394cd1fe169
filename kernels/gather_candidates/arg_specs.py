"""The sizes at which the op is tested, compiled and timed."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArgSpec:
    """One size of the op.

    Attributes:
      batch: B, requests.
      beams: M, beams of a request.
      num_codes: V, codes of the level.
      num_edges: E, edges of the level.
      width: K, children of a beam.
      dtype: of the logits.
      code_dtype: of the edges' codes.
    """

    batch: int
    beams: int
    num_codes: int
    num_edges: int
    width: int
    dtype: Any = jnp.bfloat16
    code_dtype: Any = jnp.uint16

    def args(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Return the shapes and types of the op's arrays, in its order."""
        beams = (self.batch, self.beams)
        return (
            jax.ShapeDtypeStruct((*beams, self.num_codes), self.dtype),
            jax.ShapeDtypeStruct((self.num_edges,), self.code_dtype),
            jax.ShapeDtypeStruct(beams, jnp.int32),
            jax.ShapeDtypeStruct(beams, jnp.int32),
            jax.ShapeDtypeStruct(beams, jnp.float32),
            jax.ShapeDtypeStruct(beams, jnp.float32),
        )


# STATIC (arXiv 2602.22647) measures 2 requests of 70 beams, 2048 codes and 2e7 items: the first of
# each pair. The second is a full batch. Nodes of the middle levels have up to 64 children or so.
ARG_SPECS = {
    f"{name}-{edges:.0e}": ArgSpec(
        batch=batch, beams=beams, num_codes=2048, num_edges=edges, width=width
    )
    for name, batch, beams, width in (("paper", 2, 70, 64), ("batch", 16, 512, 64))
    for edges in (1_000_000, 20_000_000)
} | {
    "paper-wide": ArgSpec(
        batch=2, beams=70, num_codes=2048, num_edges=20_000_000, width=2048, dtype=jnp.float32
    )
}
"""Sizes by name."""
