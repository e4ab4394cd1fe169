"""Metrics of parts of the users: by popularity of what they wanted, by length of their history."""

from typing import Any

import numpy as np

from genret.evaluation._bootstrap import bootstrap_interval
from genret.evaluation.metrics import ndcg, recall
from genret.typing import Int

PARTS = 4


def slices(
    values: Int[np.ndarray, "U"],
    ranks: Int[np.ndarray, "U"],
    k: int,
    *,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Measure the users in parts of about equal size, by a number that each of them has.

    The users are cut at the quartiles of the number; users with equal numbers stay together, so
    there may be fewer parts than four.

    Args:
      values: the number of each user, such as the length of the history.
      ranks: see :func:`target_ranks`.
      k: cut-off.
      resamples: resamples of the intervals; 0 leaves them out.
      seed: seed of the intervals.

    Returns:
      For each part, by rising numbers: its least and greatest number ``from`` and ``to``, its
      ``users``, ``recall@k``, ``ndcg@k`` and their ``intervals``.

    >>> parts = slices(np.array([1, 1, 1, 9]), np.array([0, 1, 0, 1]), 5, resamples=0, seed=0)
    >>> [(part["from"], part["to"], part["users"], round(part["recall@5"], 2)) for part in parts]
    [(1, 1, 3, 0.33), (9, 9, 1, 1.0)]
    """
    found = []
    for members in _quarters(values):
        part: dict[str, Any] = {
            "from": int(values[members].min()),
            "to": int(values[members].max()),
            "users": int(members.sum()),
        }
        intervals = {}
        for name, metric in (("recall", recall), ("ndcg", ndcg)):
            own = metric(ranks[members], k)
            part[f"{name}@{k}"] = float(own.mean())
            if resamples > 0:
                low, high = bootstrap_interval(own, resamples=resamples, seed=seed)
                intervals[f"{name}@{k}"] = [low, high]
        found.append(part | {"intervals": intervals})
    return found


def _quarters(values: Int[np.ndarray, "U"]) -> list[np.ndarray]:
    """Return which users are in each part: none is empty, and each user is in one."""
    shares = np.arange(1, PARTS) / PARTS
    # "lower": a cut is a number that occurs, and belongs to the part below it.
    cuts = np.unique(np.quantile(values, shares, method="lower"))
    part = np.searchsorted(cuts, values, side="left")
    return [part == number for number in np.unique(part)]
