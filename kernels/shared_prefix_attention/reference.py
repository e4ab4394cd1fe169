"""The op in plain JAX."""

import jax
import jax.numpy as jnp


def shared_prefix_attention(
    queries: jax.Array,
    shared_keys: jax.Array,
    shared_values: jax.Array,
    shared_lengths: jax.Array,
    keys: jax.Array,
    values: jax.Array,
) -> jax.Array:
    """Attend over both parts; see :func:`genret_kernels.shared_prefix_attention.api`.

    The scores of the history, [B, K, M, T, G, S] in float32, are formed; its keys and values are not
    repeated. The sum of the softmax divides the mixed values, not each weight.
    """
    batch, beams, length, heads, width = queries.shape
    kv_heads, suffix = keys.shape[3], keys.shape[2]
    queries = queries.reshape(batch, beams, length, kv_heads, heads // kv_heads, width)
    queries = queries * width**-0.5
    history = jnp.einsum(
        "bmtkgd,bskd->bkmtgs", queries, shared_keys, preferred_element_type=jnp.float32
    )
    own = jnp.einsum("bmtkgd,bmpkd->bkmtgp", queries, keys, preferred_element_type=jnp.float32)
    present = jnp.arange(shared_keys.shape[1], dtype=jnp.int32)[None, :] < shared_lengths[:, None]
    earlier = jnp.tril(jnp.ones((length, suffix), bool), suffix - length)
    history = jnp.where(present[:, None, None, None, None, :], history, -jnp.inf)
    own = jnp.where(earlier[None, None, None, :, None], own, -jnp.inf)

    # A query sees itself at least, so the highest score is finite.
    highest = jnp.maximum(history.max(-1, initial=-jnp.inf), own.max(-1))[..., None]
    history, own = jnp.exp(history - highest), jnp.exp(own - highest)
    total = history.sum(-1, keepdims=True) + own.sum(-1, keepdims=True)
    mixed = jnp.einsum(
        "bkmtgs,bskd->bkmtgd",
        history.astype(values.dtype),
        shared_values,
        preferred_element_type=jnp.float32,
    )
    mixed = mixed + jnp.einsum(
        "bkmtgp,bmpkd->bkmtgd",
        own.astype(values.dtype),
        values,
        preferred_element_type=jnp.float32,
    )
    mixed = (mixed / total).astype(values.dtype)
    return mixed.transpose(0, 2, 3, 1, 4, 5).reshape(batch, beams, length, heads, width)
