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
      width: D, width of the hidden states.
      num_codes: V, codes of the level.
      asked: K, codes whose logits are wanted, a beam.
      dtype: of the hidden states and the table.
    """

    batch: int
    beams: int
    width: int
    num_codes: int
    asked: int
    dtype: Any = jnp.bfloat16

    def args(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Return the shapes and types of the op's arrays, in its order."""
        return (
            jax.ShapeDtypeStruct((self.batch, self.beams, self.width), self.dtype),
            jax.ShapeDtypeStruct((self.num_codes, self.width), self.dtype),
            jax.ShapeDtypeStruct((self.batch, self.beams, self.asked), jnp.int32),
        )


# The beams and codes of STATIC (arXiv 2602.22647), and a full batch; the width of Qwen3-0.6B, and
# of a small ItemDecoder.
ARG_SPECS = {
    f"{name}-{model}": ArgSpec(batch=batch, beams=beams, num_codes=2048, asked=64, **sizes)
    for name, batch, beams in (("paper", 2, 70), ("batch", 16, 512))
    for model, sizes in {
        "qwen3": {"width": 1024},
        "small": {"width": 256, "dtype": jnp.float32},
    }.items()
} | {
    "batch-wide": ArgSpec(batch=16, beams=512, width=1024, num_codes=32_768, asked=64),
}
"""Sizes by name."""
