"""The op in plain JAX."""

import jax
import jax.numpy as jnp

from ._parts import beams_own, grouped

Part = tuple[jax.Array, jax.Array, str]
"""Scores, float32 [B, K, M, T, G, n], values, and the product of weights and values."""


def shared_prefix_attention(
    queries: jax.Array,
    shared_keys: jax.Array,
    shared_values: jax.Array,
    shared_lengths: jax.Array,
    earlier_keys: jax.Array,
    earlier_values: jax.Array,
    paths: jax.Array,
    keys: jax.Array,
    values: jax.Array,
) -> jax.Array:
    """Attend over all parts; see :func:`genret_kernels.shared_prefix_attention.api`."""
    shared = (queries, shared_keys, shared_values, shared_lengths)
    own = (earlier_keys, earlier_values, paths, keys, values)
    if queries.shape[2] > 1 or not paths.shape[2]:
        return along_paths(*shared, *own)
    chosen: jax.Array = jax.lax.platform_dependent(
        *shared, *own, tpu=under_masks, default=along_paths
    )
    return chosen


def along_paths(
    queries: jax.Array,
    shared_keys: jax.Array,
    shared_values: jax.Array,
    shared_lengths: jax.Array,
    earlier_keys: jax.Array,
    earlier_values: jax.Array,
    paths: jax.Array,
    keys: jax.Array,
    values: jax.Array,
) -> jax.Array:
    """Attend to the positions of each path, gathered, side by side with the beam's new ones."""
    rows = grouped(queries, keys.shape[3])
    present = _present(shared_keys, shared_lengths)
    own_keys = beams_own(earlier_keys, paths, keys)
    own_values = beams_own(earlier_values, paths, values)
    return _one_softmax(
        _of_request(rows, shared_keys, shared_values, present),
        _of_beam(rows, own_keys, own_values),
    )


def under_masks(
    queries: jax.Array,
    shared_keys: jax.Array,
    shared_values: jax.Array,
    shared_lengths: jax.Array,
    earlier_keys: jax.Array,
    earlier_values: jax.Array,
    paths: jax.Array,
    keys: jax.Array,
    values: jax.Array,
) -> jax.Array:
    """Attend to the earlier positions of all beams as to a history, each beam to those on its path."""
    rows = grouped(queries, keys.shape[3])
    present = _present(shared_keys, shared_lengths)
    places = jnp.arange(earlier_keys.shape[1], dtype=jnp.int32)[None, None, None]
    on_path = (paths[..., None] == places).any(axis=2)
    return _one_softmax(
        _of_request(rows, shared_keys, shared_values, present),
        _of_request(rows, earlier_keys, earlier_values, on_path[:, None, :, None, None]),
        _of_beam(rows, keys, values),
    )


def _present(keys: jax.Array, lengths: jax.Array) -> jax.Array:
    """Return which positions of a history count, bool [B, 1, 1, 1, 1, S]."""
    counts = jnp.arange(keys.shape[1], dtype=jnp.int32)[None] < lengths[:, None]
    return counts[:, None, None, None, None]


def _of_request(queries: jax.Array, keys: jax.Array, values: jax.Array, seen: jax.Array) -> Part:
    """Return the part of positions that are stored once a request, [B, S, K, D]; none is repeated."""
    scores = jnp.einsum("bmtkgd,bskd->bkmtgs", queries, keys, preferred_element_type=jnp.float32)
    return jnp.where(seen, scores, -jnp.inf), values, "bkmtgs,bskd->bkmtgd"


def _of_beam(queries: jax.Array, keys: jax.Array, values: jax.Array) -> Part:
    """Return the part of each beam's own positions, [B, M, P, K, D]; the last T are the queries'."""
    length, own = queries.shape[2], keys.shape[2]
    scores = jnp.einsum("bmtkgd,bmpkd->bkmtgp", queries, keys, preferred_element_type=jnp.float32)
    before = jnp.tril(jnp.ones((length, own), bool), own - length)
    scores = jnp.where(before[None, None, None, :, None], scores, -jnp.inf)
    return scores, values, "bkmtgp,bmpkd->bkmtgd"


def _one_softmax(*parts: Part) -> jax.Array:
    """Mix the values of all parts by one softmax over them; return [B, M, T, H, D].

    A query sees itself at least, so the highest score is finite. The sum of the softmax divides the
    mixed values, not each weight.
    """
    highest = parts[0][0].max(-1, initial=-jnp.inf)
    for scores, _, _ in parts[1:]:
        highest = jnp.maximum(highest, scores.max(-1))
    mixed = total = jnp.zeros((), jnp.float32)
    for scores, values, product in parts:
        weights = jnp.exp(scores - highest[..., None])
        total = total + weights.sum(-1, keepdims=True)
        mixed = mixed + jnp.einsum(
            product, weights.astype(values.dtype), values, preferred_element_type=jnp.float32
        )
    mixed = (mixed / total).astype(parts[0][1].dtype)
    batch, kv_heads, beams, length, groups, width = mixed.shape
    mixed = mixed.transpose(0, 2, 3, 1, 4, 5)
    return mixed.reshape(batch, beams, length, kv_heads * groups, width)
