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
      history: S, positions of a history.
      levels: P, earlier positions of a beam; all beams of a request have E = P M of them.
      heads: H, query heads.
      kv_heads: K, key heads.
      width: D, width of a head.
      length: T, newest positions of a beam.
      dtype: of queries, keys and values.
    """

    batch: int
    beams: int
    history: int
    levels: int = 3
    heads: int = 16
    kv_heads: int = 8
    width: int = 128
    length: int = 1
    dtype: Any = jnp.bfloat16

    def args(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Return the shapes and types of the op's arrays, in its order."""
        beams = (self.batch, self.beams)
        shared = (self.batch, self.history, self.kv_heads, self.width)
        earlier = (self.batch, self.levels * self.beams, self.kv_heads, self.width)
        own = (*beams, self.length, self.kv_heads, self.width)
        return (
            jax.ShapeDtypeStruct((*beams, self.length, self.heads, self.width), self.dtype),
            jax.ShapeDtypeStruct(shared, self.dtype),
            jax.ShapeDtypeStruct(shared, self.dtype),
            jax.ShapeDtypeStruct((self.batch,), jnp.int32),
            jax.ShapeDtypeStruct(earlier, self.dtype),
            jax.ShapeDtypeStruct(earlier, self.dtype),
            jax.ShapeDtypeStruct((*beams, self.levels), jnp.int32),
            jax.ShapeDtypeStruct(own, self.dtype),
            jax.ShapeDtypeStruct(own, self.dtype),
        )


# The beams of STATIC (arXiv 2602.22647) and of a full batch; heads of Qwen3-0.6B over a history of
# a few hundred items, with one new code, with a whole item from the root ("tail"), and with one below a
# path ("spelled"); and a small ItemDecoder over one position an item.
ARG_SPECS = {
    f"{name}-{model}": ArgSpec(batch=batch, beams=beams, **sizes)
    for name, batch, beams in (("paper", 2, 70), ("batch", 16, 512))
    for model, sizes in {
        "qwen3": {"history": 1000},
        "tail": {"history": 1000, "length": 4, "levels": 0},
        "spelled": {"history": 1000, "length": 4},
        "small": {"history": 50, "heads": 4, "kv_heads": 4, "width": 64, "dtype": jnp.float32},
    }.items()
}
"""Sizes by name."""
