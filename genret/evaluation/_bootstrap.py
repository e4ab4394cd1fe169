"""Bootstrap intervals of means over users."""

import numpy as np

from genret.typing import Float, Int


def bootstrap_interval(
    values: Float[np.ndarray, "U"],
    *,
    resamples: int,
    seed: int,
    level: float = 0.95,
    groups: int = 1024,
    cells: int = 1 << 22,
) -> tuple[float, float]:
    r"""Percentile bootstrap interval of the mean over users.

    A resample draws U users with replacement. The number of times that each *distinct* value is
    drawn follows a multinomial distribution, so those counts are drawn instead of the users. The
    interval has the same distribution, and a metric with few distinct values (a function of the
    rank) costs the same for a thousand users and for ten million. If there are more distinct values
    than ``groups``, neighboring values are merged into that many groups of about equal size, each
    represented by its mean; the variance within a group, about a millionth of the whole, is lost.

    Args:
      values: the metric of each user.
      resamples: number of resamples.
      seed: seed of the draws.
      level: probability that the interval is to cover.
      groups: most distinct values that are resampled as they are.
      cells: counts held in memory at once, 8 bytes each.

    Returns:
      The quantiles :math:`(1 - level)/2` and :math:`(1 + level)/2` of the resampled means; NaN
      without users.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    >>> low, high = bootstrap_interval(np.array([0.0, 1.0] * 200), resamples=1000, seed=0)
    >>> round(low, 2), round(high, 2)
    (0.45, 0.55)
    """
    if len(values) == 0:
        return float("nan"), float("nan")
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) > groups:
        distinct, counts = _grouped(distinct, counts, groups)
    shares = counts / len(values)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    chunk = max(1, cells // len(distinct))
    for start in range(0, resamples, chunk):
        drawn = rng.multinomial(len(values), shares, size=min(chunk, resamples - start))
        means[start : start + len(drawn)] = drawn @ distinct / len(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _grouped(
    values: Float[np.ndarray, "K"], counts: Int[np.ndarray, "K"], groups: int
) -> tuple[Float[np.ndarray, "G"], Int[np.ndarray, "G"]]:
    """Merge ascending values into groups of about equal counts; return their means and counts."""
    before = np.cumsum(counts) - counts
    group = before * groups // counts.sum()
    first = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    total = np.add.reduceat(counts, first)
    return np.add.reduceat(values * counts, first) / total, total
