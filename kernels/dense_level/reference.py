"""The op in plain JAX."""

import jax
import jax.numpy as jnp

from ..top_m.reference import top_m

WORD_BITS = 32


def dense_level(
    logits: jax.Array, words: jax.Array, base: jax.Array, *, beams: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Choose the best codes of all beams; see :func:`genret_kernels.dense_level.api`."""
    batch, held, num_words = words.shape
    num_codes = logits.shape[-1]
    logits = jnp.broadcast_to(logits, (batch, held, num_codes)).astype(jnp.float32)
    largest = logits.max(axis=-1)
    shift = jnp.where(largest == -jnp.inf, 0, largest)
    normalizer = jnp.log(jnp.exp(logits - shift[..., None]).sum(axis=-1)) + shift
    bit = jnp.arange(WORD_BITS, dtype=jnp.uint32).reshape(1, 1, 1, WORD_BITS)
    legal = (words[..., None] >> bit & 1 == 1).reshape(batch, held, num_words * WORD_BITS)
    size = min(num_codes, num_words * WORD_BITS)
    scores = base[..., None] + (logits[..., :size] - normalizer[..., None])
    # A score that would be NaN may not win a place.
    scores = jnp.where(legal[..., :size] & (scores > -jnp.inf), scores, -jnp.inf)
    flat = scores.reshape(batch, -1)
    if flat.shape[1] < beams:
        flat = jnp.pad(flat, ((0, 0), (0, beams - flat.shape[1])), constant_values=-jnp.inf)
    best, where = top_m(flat, beams)
    real = best > -jnp.inf
    where = jnp.where(real, where, 0)
    return jnp.where(real, best, -jnp.inf), where // size, where % size
