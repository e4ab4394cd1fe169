"""The op in plain JAX: sorts of few numbers, the maxima of ever smaller groups."""

import jax
import jax.numpy as jnp

from .._logsumexp import logsumexp
from .._sorted import best_of

WORD_BITS = 32

GROUPS = (128, 16)
"""Codes of a group, and of the smaller groups inside it."""

FEW = 4096
"""Scores that a GPU sorts in one kernel."""


def dense_level(
    logits: jax.Array, words: jax.Array, base: jax.Array, *, beams: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Choose the best codes of all beams; see :func:`genret_kernels.dense_level.api.dense_level`.

    The K best codes lie in the K groups whose best codes come first, and inside these again in the
    K smaller groups whose best codes come first: see :mod:`genret_kernels.dense_level.pallas_tpu`.
    """
    batch, held = words.shape[:2]
    scores = _scores(logits, words, base)
    size = scores.shape[-1]
    flat = scores.reshape(batch, held * size)
    numbers = jnp.arange(held * size, dtype=jnp.int32)[None]
    if flat.shape[1] > FEW:
        for own in GROUPS:
            if flat.shape[1] <= beams * own:
                continue
            first = numbers[:, ::own]
            _, first = best_of(flat.reshape(batch, -1, own).max(axis=-1), first, beams)
            within = jnp.arange(own, dtype=jnp.int32).reshape(1, 1, own)
            numbers = (first[..., None] + within).reshape(batch, beams * own)
            flat = jnp.take_along_axis(scores.reshape(batch, -1), numbers, axis=1, mode="clip")
    if flat.shape[1] < beams:
        fill = ((0, 0), (0, beams - flat.shape[1]))
        flat = jnp.pad(flat, fill, constant_values=-jnp.inf)
        numbers = jnp.pad(numbers, fill)
    best, where = best_of(flat, numbers, beams)
    real = best > -jnp.inf
    where = jnp.where(real, where, 0)
    return jnp.where(real, best, -jnp.inf), where // size, where % size


def _scores(logits: jax.Array, words: jax.Array, base: jax.Array) -> jax.Array:
    """Return the scores of all codes, [B, M, V filled up to whole groups]; -inf: no candidate."""
    batch, held, num_words = words.shape
    num_codes = logits.shape[-1]
    logits = logits.astype(jnp.float32)
    normalizer = jnp.broadcast_to(logsumexp(logits), (batch, held))
    logits = jnp.broadcast_to(logits, (batch, held, num_codes))
    bit = jnp.arange(WORD_BITS, dtype=jnp.uint32).reshape(1, 1, 1, WORD_BITS)
    legal = (words[..., None] >> bit & 1 == 1).reshape(batch, held, num_words * WORD_BITS)
    size = min(num_codes, num_words * WORD_BITS)
    scores = base[..., None] + (logits[..., :size] - normalizer[..., None])
    # A score that would be NaN may not win a place.
    scores = jnp.where(legal[..., :size] & (scores > -jnp.inf), scores, -jnp.inf)
    fill = -size % GROUPS[0]
    return jnp.pad(scores, ((0, 0), (0, 0), (0, fill)), constant_values=-jnp.inf)
