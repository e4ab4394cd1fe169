"""The bottleneck of RQ-VAE against slow twins: codes, gradients, codebooks that follow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret.config import AutoencoderConfig
from genret.tokenizers._quantize import Books, commitment, follow, pass_gradients, quantize

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(40, 3)).astype(np.float32)
VALUES = RNG.normal(size=(2, 5, 3)).astype(np.float32) * np.array([1, 0.5])[:, None, None]
SPREADS = np.array([[1, 2, 0.5, 1, 3], [1, 1, 1, 1, 1]], np.float32)
BIAS = np.array([0, 0.3, 0, 0, -0.2], np.float32)


def slow_codes(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    codes, sums = [], []
    for x in z.astype(np.float64):
        residual, row, gain, total = x.copy(), [], 1.0, 0.0
        for level, book in enumerate(VALUES):
            bias = BIAS if level == 1 else 0
            code = int((0.5 * ((residual - book) ** 2).sum(axis=1) - bias).argmin())
            total = total + gain * book[code]
            gain *= SPREADS[level, code]
            residual = (residual - book[code]) / SPREADS[level, code]
            row.append(code)
        codes.append(row)
        sums.append(total)
    return np.array(codes), np.array(sums)


def test_codes_equal_the_slow_twin() -> None:
    found = quantize(
        jnp.asarray(Z), jnp.asarray(VALUES, jnp.float32), jnp.asarray(SPREADS), jnp.asarray(BIAS)
    )
    codes, sums = slow_codes(Z)
    np.testing.assert_array_equal(found.codes.T, codes)
    np.testing.assert_allclose(found.sums, sums, atol=1e-5)
    np.testing.assert_array_equal(found.residuals[0], Z)


VECTOR = st.tuples(*[st.sampled_from([0.0, 1.0, -1.0, 1e-4, 3.0])] * 3)


@given(VECTOR, VECTOR)
def test_the_rotation_turns_and_stretches(z: tuple[float, ...], q: tuple[float, ...]) -> None:
    x, y = np.array([z], np.float32), np.array([q], np.float32)
    np.testing.assert_array_equal(pass_gradients(jnp.asarray(x), jnp.asarray(y), "rotation"), y)
    jacobian = jax.jacobian(lambda v: pass_gradients(v[None], jnp.asarray(y), "rotation")[0])(
        jnp.asarray(x[0])
    )
    jacobian = np.asarray(jacobian, np.float64)
    assert np.isfinite(jacobian).all()
    nx, ny = np.linalg.norm(x), np.linalg.norm(y)
    half_way = np.linalg.norm(x / max(nx, 1e-9) + y / max(ny, 1e-9))
    if min(nx, ny) > 0.1 and half_way > 0.1:
        np.testing.assert_allclose(jacobian @ jacobian.T, (ny / nx) ** 2 * np.eye(3), atol=1e-3)
        np.testing.assert_allclose(jacobian @ x[0], y[0], atol=1e-3)


def test_straight_through_is_the_identity() -> None:
    q = jnp.asarray(Z[::-1].copy())
    np.testing.assert_allclose(pass_gradients(jnp.asarray(Z), q, "straight_through"), q, atol=1e-6)
    found = jax.jacobian(lambda v: pass_gradients(v[None], q[:1], "straight_through")[0])(
        jnp.asarray(Z[0])
    )
    np.testing.assert_array_equal(found, np.eye(3))


def test_the_commitment_and_its_gradient() -> None:
    z, values, bias = jnp.asarray(Z), jnp.asarray(VALUES, jnp.float32), jnp.asarray(BIAS)
    found = quantize(z, values, jnp.asarray(SPREADS), bias)
    after = [found.gains[1][:, None] * found.residuals[1], z - found.sums]
    assert float(commitment(z, found)) == pytest.approx(
        float(sum((r**2).sum() for r in after) / len(z)), rel=1e-5
    )
    gradient = jax.grad(lambda v: commitment(v, found))(z)
    np.testing.assert_allclose(gradient, 2 * (after[0] + after[1]) / len(z), atol=1e-5)


def books(size: int = 5) -> Books:
    counts = jnp.full((2, size), 8.0)
    return Books(
        counts, 8.0 * jnp.asarray(VALUES, jnp.float32), jnp.asarray(SPREADS), jnp.asarray(BIAS)
    )


def test_codebooks_are_moving_means() -> None:
    values, state = jnp.asarray(VALUES, jnp.float32), books()
    found = quantize(jnp.asarray(Z), values, state.spreads, state.bias)
    config = AutoencoderConfig(sinkhorn=0.0)
    moved, after = follow(state, found, values, config, jax.random.key(0))
    for level in range(2):
        for code in range(5):
            mine = np.asarray(found.residuals[level])[np.asarray(found.codes[level]) == code]
            count = 0.95 * 8 + 0.05 * len(mine)
            total = 0.95 * 8 * VALUES[level, code] + 0.05 * mine.sum(axis=0)
            np.testing.assert_allclose(moved[level, code], total / count, atol=1e-5)
            assert float(after.counts[level, code]) == pytest.approx(count, rel=1e-5)
    np.testing.assert_array_equal(after.bias, state.bias)
    np.testing.assert_array_equal(after.spreads, state.spreads)
    _, normalized = follow(state, found, values, config, jax.random.key(0), normalize=True)
    left = np.asarray(found.residuals[0]) - np.asarray(moved[0])[np.asarray(found.codes[0])]
    squares = (left[np.asarray(found.codes[0]) == 2] ** 2).sum(axis=1).mean()
    expected = np.sqrt(0.95 * SPREADS[0, 2] ** 2 + 0.05 * squares)
    assert float(normalized.spreads[0, 2]) == pytest.approx(expected, rel=1e-4)
    kept, _ = follow(state, found, values, AutoencoderConfig(codebooks="loss"), jax.random.key(0))
    np.testing.assert_array_equal(kept, values)


def test_dead_codes_move_to_points() -> None:
    values = jnp.asarray(VALUES, jnp.float32).at[:, 4].set(99.0)  # nobody is near
    state = books()._replace(counts=jnp.full((2, 5), 8.0).at[:, 4].set(0.5))
    found = quantize(jnp.asarray(Z), values, state.spreads, jnp.zeros(5))
    moved, after = follow(state, found, values, AutoencoderConfig(), jax.random.key(0))
    for level in range(2):
        distance = np.abs(np.asarray(found.residuals[level]) - np.asarray(moved[level, 4])).max(1)
        assert distance.min() < 1e-6
        assert float(after.counts[level, 4]) == 8.0
    assert float(after.bias[4]) == 0.0
