"""Balanced codes: equal shares at nearly the least cost."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from genret.tokenizers._balance import balance, potentials
from genret.tokenizers._kmeans import nearest, pad_rows


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """Nine points in ten lie in one blob."""
    rng = np.random.default_rng(0)
    crowd = rng.normal(size=(288, 3)) * 0.3
    rest = rng.normal(size=(32, 3)) + 4
    return np.concatenate([crowd, rest]).astype(np.float32)


def test_shares_are_equal_at_nearly_the_least_cost(points: np.ndarray) -> None:
    centroids = points[::40]  # 8 of 320
    padded, weights = pad_rows(points)
    bias = potentials(padded, weights, jnp.asarray(centroids), jnp.zeros(8), 100)
    labels, squares = nearest(points, jnp.asarray(centroids), 10**6, bias)
    counts = np.bincount(labels, minlength=8)
    assert counts.min() >= 28
    assert counts.max() <= 52
    costs = ((points[:, None, :] - np.repeat(centroids, 40, axis=0)[None]) ** 2).sum(axis=2)
    rows, columns = scipy.optimize.linear_sum_assignment(costs)
    assert squares.sum() < 1.05 * costs[rows, columns].sum()


def test_without_balance_the_crowd_shares_few_codes(points: np.ndarray) -> None:
    labels, _ = nearest(points, jnp.asarray(points[::40]), 10**6)
    assert np.bincount(labels, minlength=8).max() > 60


def test_centroids_follow(points: np.ndarray) -> None:
    padded, weights = pad_rows(points)
    centroids, bias = balance(padded, weights, jnp.asarray(points[::40]))
    labels, squares = nearest(points, centroids, 10**6, bias)
    before = nearest(points, jnp.asarray(points[::40]), 10**6, bias)[1]
    assert np.bincount(labels, minlength=8).min() >= 28
    assert squares.sum() < before.sum()
    assert float(jnp.abs(bias.mean())) < 1e-5


def test_equal_points_do_no_harm() -> None:
    padded, weights = pad_rows(np.ones((5, 2), np.float32))
    centroids, bias = balance(padded, weights, jnp.ones((4, 2)))
    assert np.isfinite(np.asarray(centroids)).all()
    assert np.isfinite(np.asarray(bias)).all()
