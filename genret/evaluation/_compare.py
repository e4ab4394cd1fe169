"""Paired comparison of two methods on the same users."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from genret.evaluation._bootstrap import bootstrap_interval
from genret.evaluation.metrics import ndcg, recall, target_ranks
from genret.typing import Int

_METRICS = {"ndcg": ndcg, "recall": recall}


def compare(
    ours: Int[np.ndarray, "U"],
    theirs: Int[np.ndarray, "U"],
    k: int,
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    r"""Compare two methods user by user.

    Both methods answered the same users, so the interval is that of the mean of the differences
    :math:`d_u = m(r_u) - m(r'_u)`. It is much narrower than the intervals of the two means suggest,
    because users who are hard for one method are hard for the other.

    Args:
      ours: rank of each user's target by our method, see :func:`genret.evaluation.target_ranks`.
      theirs: the same by the other method.
      k: cut-off.
      resamples: resamples of the bootstrap; 0 leaves the intervals out.
      seed: seed of the resamples.

    Returns:
      ``ndcg@k`` and ``recall@k`` -> ``difference`` of the means, ours minus theirs, and its 95 %
      ``interval``.

    >>> found = compare(np.array([1, 1, 0, 2]), np.array([0, 1, 0, 3]), 10, resamples=0, seed=0)
    >>> round(found["recall@10"]["difference"], 3), round(found["ndcg@10"]["difference"], 3)
    (0.25, 0.283)
    """
    found: dict[str, Any] = {}
    for name, metric in _METRICS.items():
        differences = metric(ours, k) - metric(theirs, k)
        entry: dict[str, Any] = {"difference": float(differences.mean())}
        if resamples > 0:
            entry["interval"] = list(
                bootstrap_interval(differences, resamples=resamples, seed=seed)
            )
        found[f"{name}@{k}"] = entry
    return found


def compare_lists(
    lists: Mapping[str, Int[np.ndarray, "U K"]],
    targets: Int[np.ndarray, "U"],
    k: int,
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Compare the model's lists with those of every other method for the same users.

    Args:
      lists: method -> item rows, best first, ``-1`` padded; one method is "model".
      targets: the held-out item of each user.
      k: cut-off.
      resamples: see :func:`compare`.
      seed: see :func:`compare`.

    Returns:
      Method -> what :func:`compare` returns.
    """
    ranks = {name: target_ranks(found[:, :k], targets) for name, found in lists.items()}
    return {
        name: compare(ranks["model"], other, k, resamples=resamples, seed=seed)
        for name, other in ranks.items()
        if name != "model"
    }
