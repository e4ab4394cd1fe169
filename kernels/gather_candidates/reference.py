"""The op in plain JAX."""

import jax
import jax.numpy as jnp


def gather_candidates(
    logits: jax.Array,
    edge_codes: jax.Array,
    begin: jax.Array,
    counts: jax.Array,
    base: jax.Array,
    normalizer: jax.Array,
    *,
    width: int,
) -> tuple[jax.Array, jax.Array]:
    """Score the edges of each beam; see :func:`genret_kernels.gather_candidates.api`."""
    slot = jnp.arange(width, dtype=jnp.int32)
    edge = jnp.clip(begin[..., None] + slot[None, None], 0, edge_codes.shape[0] - 1)
    codes = edge_codes.at[edge].get(mode="clip").astype(jnp.int32)
    codes = jnp.minimum(codes, logits.shape[-1] - 1)
    found = jnp.take_along_axis(logits, codes, axis=-1, mode="clip").astype(jnp.float32)
    scores = base[..., None] + (found - normalizer[..., None])
    legal = slot[None, None] < counts[..., None]
    # Padding may be NaN, and a score that is NaN may not win a place.
    scores = jnp.where(legal & (scores > -jnp.inf), scores, -jnp.inf)
    return scores, jnp.where(legal, codes, -1)
