"""The bootstrap draws the right distribution, covers the truth, and repeats itself by seed."""

import numpy as np
import pytest

from genret.evaluation import bootstrap_interval


def test_agrees_with_resampling_the_users_one_by_one() -> None:
    rng = np.random.default_rng(0)
    values = rng.choice([0, 0, 0, 1, 0.5, 0.63], 300)
    means = [rng.choice(values, len(values)).mean() for _ in range(4000)]
    expected = np.quantile(means, [0.025, 0.975])
    found = bootstrap_interval(values, resamples=4000, seed=1)
    np.testing.assert_allclose(found, expected, atol=0.1 * (expected[1] - expected[0]))


def test_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(400):
        values = rng.binomial(1, 0.3, 200).astype(float)
        low, high = bootstrap_interval(values, resamples=400, seed=trial)
        covered += low <= 0.3 <= high
    assert 0.91 <= covered / 400 <= 0.98


def test_equal_seeds_equal_intervals_whatever_the_memory() -> None:
    values = np.random.default_rng(0).random(50)
    whole = bootstrap_interval(values, resamples=100, seed=3)
    assert bootstrap_interval(values, resamples=100, seed=3, cells=120) == whole
    assert bootstrap_interval(values, resamples=100, seed=4) != whole


def test_edges() -> None:
    assert bootstrap_interval(np.full(9, 0.25), resamples=20, seed=0) == (0.25, 0.25)
    assert np.isnan(bootstrap_interval(np.zeros(0), resamples=20, seed=0)).all()
    narrow = bootstrap_interval(np.array([0.0, 1.0] * 50), resamples=2000, seed=0, level=0.5)
    wide = bootstrap_interval(np.array([0.0, 1.0] * 50), resamples=2000, seed=0)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_ten_million_users_cost_no_more_than_their_distinct_values() -> None:
    values = np.repeat([0.0, 0.5, 1.0], [9_000_000, 600_000, 400_000])
    low, high = bootstrap_interval(values, resamples=1000, seed=0)
    assert low < values.mean() < high
    assert high - low < 1e-3


def test_many_distinct_values_are_grouped_without_moving_the_interval() -> None:
    values = np.random.default_rng(0).gamma(0.3, size=5000)
    grouped = bootstrap_interval(values, resamples=3000, seed=0)
    exact = bootstrap_interval(values, resamples=3000, seed=1, groups=10_000)
    np.testing.assert_allclose(grouped, exact, atol=0.05 * (exact[1] - exact[0]))
    mean = pytest.approx(values.mean())
    assert bootstrap_interval(values, resamples=5, seed=0, groups=1) == (mean, mean)
