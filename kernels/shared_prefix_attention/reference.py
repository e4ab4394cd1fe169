"""The op in plain JAX."""

import jax
import jax.numpy as jnp

from ._parts import grouped, suffix_scores


def shared_prefix_attention(
    queries: jax.Array,
    shared_keys: jax.Array,
    shared_values: jax.Array,
    shared_lengths: jax.Array,
    keys: jax.Array,
    values: jax.Array,
) -> jax.Array:
    """Attend over both parts; see :func:`genret_kernels.shared_prefix_attention.api`.

    The scores of the history, [B, H, M, T, S] in float32, are formed; its keys and values are not
    repeated.
    """
    queries = grouped(queries, keys.shape[3])
    present = jnp.arange(shared_keys.shape[1])[None] < shared_lengths[:, None]
    # Padding may be NaN, and 0 * NaN is not 0: the values need a mask of their own.
    shared_values = jnp.where(present[..., None, None], shared_values, 0)

    history = jnp.einsum(
        "bmtkgd,bskd->bkgmts", queries, shared_keys, preferred_element_type=jnp.float32
    )
    history = jnp.where(present[:, None, None, None, None], history, -jnp.inf)
    suffix = suffix_scores(queries, keys)
    highest = jnp.maximum(
        history.max(axis=-1, initial=-jnp.inf), suffix.max(axis=-1)
    )  # a query sees itself at least, so this is finite
    history = jnp.exp(history - highest[..., None])
    suffix = jnp.exp(suffix - highest[..., None])
    total = (history.sum(axis=-1) + suffix.sum(axis=-1))[..., None]
    mixed = jnp.einsum(
        "bkgmts,bskd->bmtkgd",
        (history / total).astype(values.dtype),
        shared_values,
        preferred_element_type=jnp.float32,
    ) + jnp.einsum(
        "bkgmtp,bmpkd->bmtkgd",
        (suffix / total).astype(values.dtype),
        values,
        preferred_element_type=jnp.float32,
    )
    batch, beams, length, kv_heads, groups, width = queries.shape
    return mixed.reshape(batch, beams, length, kv_heads * groups, width).astype(values.dtype)
