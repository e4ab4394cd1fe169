"""Attention against loops over scalars, and the layers' definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels.shared_prefix_attention import shared_prefix_attention

from genret.models._attention import attend, causal_mask
from genret.models._layers import dropout, rotary_angles, rotate


def slow(query, keys, values):
    """Attention of one query [D] over visible keys and values [S, D]."""
    scores = keys @ query / np.sqrt(len(query))
    weights = np.exp(scores - scores.max())
    return (weights / weights.sum()) @ values


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_attend_equals_loops(kv_heads) -> None:
    rng = np.random.default_rng(kv_heads)
    queries, keys, values = (normal(rng, 2, 5, h, 8) for h in (4, kv_heads, kv_heads))
    segments = np.array([[1, 1, 2, 2, 0], [1, 1, 1, 1, 1]])
    mask = causal_mask(jnp.asarray(segments))
    found = attend(*map(jnp.asarray, (queries, keys, values)), mask)
    for b, t, h in np.ndindex(2, 5, 4):
        seen = [s for s in range(t + 1) if segments[b, s] == segments[b, t]]
        k = h // (4 // kv_heads)
        expected = slow(queries[b, t, h], keys[b, seen, k], values[b, seen, k])
        np.testing.assert_allclose(found[b, t, h], expected, atol=1e-5)


def test_no_request_is_no_answer() -> None:
    none = jnp.zeros((0, 5, 4, 8))
    assert attend(none, none, none, jnp.ones((1, 5, 5), bool)).shape == none.shape
    own, paths = jnp.zeros((0, 3, 1, 4, 8)), jnp.zeros((0, 3, 2), jnp.int32)
    found = shared_prefix_attention(
        own, none, none, jnp.zeros(0, jnp.int32), none, none, paths, own, own
    )
    assert found.shape == own.shape


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_gradients_are_those_of_a_plain_softmax(scale: float) -> None:
    """Also of scores far apart, whose exponentials overflow."""
    rng = np.random.default_rng(0)
    queries, keys, values, wanted = (jnp.asarray(normal(rng, 2, 5, 2, 8)) for _ in range(4))
    mask = jnp.tril(jnp.ones((1, 5, 5), bool))

    def plain(queries, keys, values):
        scores = jnp.einsum("bthd,bshd->bhts", queries, keys) * 8**-0.5
        weights = jax.nn.softmax(jnp.where(mask[:, None], scores, -jnp.inf), axis=-1)
        return jnp.einsum("bhts,bshd->bthd", weights, values)

    def grads(function):
        loss = lambda *a: jnp.sum(function(*a) * wanted)  # noqa: E731
        return jax.grad(loss, argnums=(0, 1, 2))(scale * queries, keys, values)

    for found, expected in zip(grads(lambda *a: attend(*a, mask)), grads(plain), strict=True):
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_attend_survives_huge_scores() -> None:
    queries = jnp.full((1, 2, 1, 4), 1e4)
    found = attend(queries, queries, queries, causal_mask(jnp.ones((1, 2), jnp.int32)))
    np.testing.assert_allclose(found, queries)


def test_rotation_keeps_lengths_and_depends_on_differences_only() -> None:
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(normal(rng, 1, 1, 1, 8)) for _ in range(2))

    def product(p, q):
        a = rotate(x, rotary_angles(jnp.asarray([[p]]), 8, 100.0))
        b = rotate(y, rotary_angles(jnp.asarray([[q]]), 8, 100.0))
        np.testing.assert_allclose(jnp.linalg.norm(a), jnp.linalg.norm(x), rtol=1e-5)
        return float((a * b).sum())

    assert product(3, 1) == pytest.approx(product(12, 10), abs=1e-4)
    assert abs(product(3, 1) - product(3, 2)) > 1e-3


@pytest.mark.parametrize("width", [8, 7, 1])
def test_dropout_zeroes_the_asked_share_and_keeps_the_mean(width) -> None:
    x = jnp.ones((4000, width))
    y = dropout(x, 0.25, jax.random.key(0))
    assert y.shape == x.shape
    kept = np.asarray(y) > 0
    assert set(np.unique(y)) == {0.0, np.float32(4 / 3)}
    deviation = np.sqrt(0.25 * 0.75 / x.size)
    assert abs(kept.mean() - 0.75) < 5 * deviation
    # Neighbors are independent: a byte is used once.
    if width > 1:
        pairs = (kept[:, :-1] & kept[:, 1:]).mean()
        assert abs(pairs - 0.75**2) < 6 * np.sqrt(0.25 / kept[:, 1:].size)
    assert dropout(x, 0.25, None) is x
    assert dropout(x, 0.0, jax.random.key(0)) is x
