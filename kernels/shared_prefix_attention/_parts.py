"""What the implementations share: the beams' own part, and how two parts become one softmax."""

import jax
import jax.numpy as jnp


def grouped(queries: jax.Array, kv_heads: int) -> jax.Array:
    """Scale the queries, and put those of a key head together: [B, M, T, H, D] to [B, M, T, K, G, D]."""
    *outer, heads, width = queries.shape
    return (queries * width**-0.5).reshape(*outer, kv_heads, heads // kv_heads, width)


def beams_own(earlier: jax.Array, paths: jax.Array, new: jax.Array) -> jax.Array:
    """Put the positions of each beam's path before its new ones.

    Args:
      earlier: [B, E, K, D].
      paths: int32 [B, M, P].
      new: [B, M, T, K, D].

    Returns:
      [B, M, P + T, K, D].
    """
    if not paths.shape[2]:
        return new
    batch, beams, length = paths.shape
    index = paths.reshape(batch, beams * length, 1, 1)
    own = jnp.take_along_axis(earlier, index, axis=1, mode="clip")
    own = own.reshape(batch, beams, length, *earlier.shape[2:])
    return jnp.concatenate([own, new], axis=2)


def suffix_scores(queries: jax.Array, keys: jax.Array) -> jax.Array:
    """Score each beam's own positions, of which the last T belong to the queries.

    Args:
      queries: [B, M, T, K, G, D], scaled.
      keys: [B, M, P, K, D].

    Returns:
      float32 [B, K, G, M, T, P], -inf where a query would see a later position.
    """
    length, suffix = queries.shape[2], keys.shape[2]
    scores = jnp.einsum("bmtkgd,bmpkd->bkgmtp", queries, keys, preferred_element_type=jnp.float32)
    earlier = jnp.tril(jnp.ones((length, suffix), bool), suffix - length)
    return jnp.where(earlier[None, None, None, None], scores, -jnp.inf)


def history_rows(queries: jax.Array) -> jax.Array:
    """Put all queries that meet the same keys into the rows of one matrix.

    Args:
      queries: [B, M, T, K, G, D].

    Returns:
      [B, K, G * M * T, D].
    """
    batch, _, _, kv_heads, _, width = queries.shape
    return queries.transpose(0, 3, 4, 1, 2, 5).reshape(batch, kv_heads, -1, width)


def join_parts(
    history: jax.Array, logsumexp: jax.Array, suffix: jax.Array, values: jax.Array
) -> jax.Array:
    """Make one softmax of two: each part weighs what its exponentials add up to.

    Args:
      history: float32 [B, K, G * M * T, D], the history's values mixed by its own softmax.
      logsumexp: float32 [B, K, G * M * T], of the history's scores; -inf: no history.
      suffix: float32 [B, K, G, M, T, P], scores of the beams' own positions.
      values: [B, M, P, K, D].

    Returns:
      [B, M, T, H, D], of the values' type.
    """
    batch, kv_heads, groups, beams, length, _ = suffix.shape
    rows = (batch, kv_heads, groups, beams, length)
    logsumexp = logsumexp.reshape(rows)
    history = history.reshape(*rows, -1)
    highest = jnp.maximum(logsumexp, suffix.max(axis=-1))
    history_weight = jnp.exp(logsumexp - highest)
    suffix = jnp.exp(suffix - highest[..., None])
    total = history_weight + suffix.sum(axis=-1)
    mixed = jnp.einsum(
        "bkgmtp,bmpkd->bkgmtd",
        (suffix / total[..., None]).astype(values.dtype),
        values,
        preferred_element_type=jnp.float32,
    )
    mixed = mixed + history * (history_weight / total)[..., None]
    mixed = mixed.transpose(0, 3, 4, 1, 2, 5)
    return mixed.reshape(batch, beams, length, kv_heads * groups, -1).astype(values.dtype)
