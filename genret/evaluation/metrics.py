"""Metrics of ranked lists with one relevant item each, counted over items.

A list is a row of item rows, best first; ``-1`` fills a list that is too short. The *rank* of a
target is its position in the list, from 1; rank 0 means that the list does not hold it. Every
metric of accuracy is a function of that rank alone. The others are of the lists alone: how much of
the catalog they show, how evenly, how popular, and whether they keep the rules.
"""

import numpy as np

from genret.histories import Histories
from genret.typing import Bool, Float, Int


def target_ranks(
    items: Int[np.ndarray, "U K"], targets: Int[np.ndarray, "U"]
) -> Int[np.ndarray, "U"]:
    """Return the rank of each user's target in the user's list.

    Args:
      items: item rows, best first, ``-1`` padded.
      targets: item row of the held-out item.

    Returns:
      Ranks from 1; 0 where the list does not hold the target. Where an item occurs more than
      once, its first place counts, and its repetitions still occupy theirs.

    >>> target_ranks(np.array([[4, 2, 9], [4, 2, -1]]), np.array([2, 7]))
    array([2, 0])
    """
    if items.shape[1] == 0:
        return np.zeros(len(items), np.int64)
    match = (items == targets[:, None]) & (items >= 0)
    return np.where(match.any(axis=1), match.argmax(axis=1) + 1, 0)


def recall(ranks: Int[np.ndarray, "U"], k: int) -> Float[np.ndarray, "U"]:
    r"""Recall@k of each user, which is the hit rate as there is one relevant item.

    .. math:: \mathrm{Recall@}k = [\,1 \le r \le k\,]

    Args:
      ranks: see :func:`target_ranks`.
      k: cut-off.

    Returns:
      0 or 1, float64.

    >>> recall(np.array([1, 3, 0]), 2)
    array([1., 0., 0.])
    """
    return ((ranks >= 1) & (ranks <= k)).astype(np.float64)


def ndcg(ranks: Int[np.ndarray, "U"], k: int) -> Float[np.ndarray, "U"]:
    r"""NDCG@k of each user; the ideal list has the one relevant item first, so its DCG is 1.

    .. math:: \mathrm{NDCG@}k = \frac{[\,1 \le r \le k\,]}{\log_2(r + 1)}

    Args:
      ranks: see :func:`target_ranks`.
      k: cut-off.

    Returns:
      0 to 1, float64.

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.

    >>> ndcg(np.array([1, 3, 0]), 5)
    array([1. , 0.5, 0. ])
    """
    return recall(ranks, k) / np.log2(np.maximum(ranks, 1) + 1)


def mrr(ranks: Int[np.ndarray, "U"], k: int) -> Float[np.ndarray, "U"]:
    r"""Reciprocal rank of each user, cut at k; its mean is MRR@k.

    .. math:: \mathrm{RR@}k = \frac{[\,1 \le r \le k\,]}{r}

    Args:
      ranks: see :func:`target_ranks`.
      k: cut-off.

    Returns:
      0 to 1, float64.

    >>> mrr(np.array([1, 4, 0]), 5)
    array([1.  , 0.25, 0.  ])
    """
    return recall(ranks, k) / np.maximum(ranks, 1)


def r_precision(ranks: Int[np.ndarray, "U"]) -> Float[np.ndarray, "U"]:
    r"""R-precision of each user: precision at as many places as there are relevant items.

    .. math:: \mathrm{RP} = [\,r = 1\,]

    With one relevant item that is Recall@1. The published forms for several relevant items agree
    with it there.

    Args:
      ranks: see :func:`target_ranks`.

    Returns:
      0 or 1, float64.

    Source: Chen, Lamere, Schedl and Zamani, "RecSys Challenge 2018", 2018.

    >>> r_precision(np.array([1, 3, 0]))
    array([1., 0., 0.])
    """
    return recall(ranks, 1)


def playlist_clicks(ranks: Int[np.ndarray, "U"], k: int) -> Float[np.ndarray, "U"]:
    r"""Clicks of each user: pages of ten that are turned until the target shows. Less is better.

    .. math:: \mathrm{Clicks@}k = \begin{cases}
        \lfloor (r - 1) / 10 \rfloor & 1 \le r \le k \\
        \lfloor k / 10 \rfloor + 1 & \text{else}\end{cases}

    The challenge that made it has k = 500, so a miss counts 51.

    Args:
      ranks: see :func:`target_ranks`.
      k: cut-off.

    Returns:
      Clicks, float64.

    Source: Chen, Lamere, Schedl and Zamani, "RecSys Challenge 2018", 2018.

    >>> playlist_clicks(np.array([1, 10, 11, 0]), 500)
    array([ 0.,  0.,  1., 51.])
    """
    hit = recall(ranks, k) > 0
    return np.where(hit, (ranks - 1) // 10, k // 10 + 1).astype(np.float64)


def coverage(items: Int[np.ndarray, "U K"], k: int, num_items: int) -> float:
    r"""Share of the catalog that is recommended to anybody.

    .. math:: \mathrm{Coverage@}k = \frac{1}{N}\Big|\bigcup_u \{i_{u,1}, …, i_{u,k}\}\Big|

    Args:
      items: item rows, best first, ``-1`` padded.
      k: cut-off.
      num_items: items of the catalog, N.

    Returns:
      0 to 1.

    >>> coverage(np.array([[4, 2], [4, -1]]), 2, num_items=8)
    0.25
    """
    head = items[:, :k]
    return len(np.unique(head[head >= 0])) / num_items


def gini(items: Int[np.ndarray, "U K"], k: int, num_items: int) -> float:
    r"""Gini coefficient of how often each item of the catalog is recommended.

    .. math:: G@k = \frac{\sum_{j=1}^{N} (2 j - N - 1)\, x_{(j)}}{N \sum_j x_{(j)}}

    where :math:`x_{(1)} \le … \le x_{(N)}` are the times that each item stands in the first k places
    of a list. 0: all items equally often; near 1: a few items take everything. (Some libraries
    report 1 − G.)

    Args:
      items: item rows, best first, ``-1`` padded.
      k: cut-off.
      num_items: items of the catalog, N.

    Returns:
      0 to 1; 0 when every list is empty.

    Source: Gini, "Variabilità e mutabilità", 1912; Fleder and Hosanagar, "Blockbuster culture's
      next rise or fall", 2009 (of recommendations).

    >>> gini(np.array([[0, 1], [2, 3]]), 2, num_items=4), gini(np.array([[0], [0]]), 1, num_items=4)
    (0.0, 0.75)
    """
    head = items[:, :k]
    times = np.sort(np.bincount(head[head >= 0], minlength=num_items))
    total = int(times.sum())
    if total == 0:
        return 0.0
    weights = 2 * np.arange(1, num_items + 1) - num_items - 1
    return float((weights * times).sum() / (num_items * total))


def average_popularity(
    items: Int[np.ndarray, "U K"], k: int, train_counts: Int[np.ndarray, "N"]
) -> Float[np.ndarray, "U"]:
    r"""Popularity bias of each user's list; its mean is ARP, the average recommendation popularity.

    .. math:: \mathrm{ARP@}k = \frac{1}{U}\sum_u \frac{1}{|R_u|}\sum_{i \in R_u} c_i

    where :math:`R_u` are the first k items of the list and :math:`c_i` is how often item i occurs
    in the training events.

    Args:
      items: item rows, best first, ``-1`` padded.
      k: cut-off.
      train_counts: training events of each item.

    Returns:
      Training events of a recommended item, on average, float64; NaN for an empty list.

    Source: Yin, Cui, Li, Yao and Chen, "Challenging the long tail recommendation", 2012.

    >>> average_popularity(np.array([[0, 2], [2, -1]]), 2, np.array([10, 5, 4]))
    array([7., 4.])
    """
    return _mean_over_list(items[:, :k], train_counts.astype(np.float64))


def popularity_complement(
    items: Int[np.ndarray, "U K"], k: int, seen_share: Float[np.ndarray, "N"]
) -> Float[np.ndarray, "U"]:
    r"""Novelty of each user's list; its mean is EPC, the expected popularity complement.

    .. math:: \mathrm{EPC@}k = \frac{1}{U}\sum_u \frac{1}{|R_u|}\sum_{i \in R_u}
        \big(1 - p(\mathrm{seen} \mid i)\big)

    where :math:`p(\mathrm{seen} \mid i)` is the share of the training users who had item i. This
    is the form without a discount of ranks and without relevance.

    Args:
      items: item rows, best first, ``-1`` padded.
      k: cut-off.
      seen_share: :math:`p(\mathrm{seen} \mid i)`, see :func:`seen_shares`.

    Returns:
      0 to 1, more is more novel, float64; NaN for an empty list.

    Source: Vargas and Castells, "Rank and relevance in novelty and diversity metrics for
      recommender systems", 2011.

    >>> popularity_complement(np.array([[0, 2], [2, -1]]), 2, np.array([0.5, 0.25, 0.0]))
    array([0.75, 1.  ])
    """
    return _mean_over_list(items[:, :k], 1.0 - seen_share)


def seen_shares(histories: Histories, num_items: int) -> Float[np.ndarray, "N"]:
    """Return the share of users who had each item (pass training events only).

    Users without an event do not count.

    >>> seen_shares(Histories.from_lists([[1, 1, 0], [], [1]]), num_items=3)
    array([0.5, 1. , 0. ])
    """
    users = max(1, int(np.count_nonzero(histories.lengths)))
    return np.bincount(histories.distinct().items, minlength=num_items) / users


def _mean_over_list(
    head: Int[np.ndarray, "U K"], values: Float[np.ndarray, "N"]
) -> Float[np.ndarray, "U"]:
    """Return the mean of an item's value over each list; NaN for an empty list."""
    real = head >= 0
    listed = real.sum(axis=1)
    sums = np.where(real, values[head], 0.0).sum(axis=1)
    return np.where(listed > 0, sums / np.maximum(listed, 1), np.nan)


def repeated(items: Int[np.ndarray, "U K"]) -> Bool[np.ndarray, "U K"]:
    """Say which entries repeat an item that stands earlier in the same list; padding never does.

    >>> repeated(np.array([[4, 2, 4, -1, -1]]))
    array([[False, False,  True, False, False]])
    """
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    again = np.zeros(items.shape, bool)
    again[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    out = np.zeros(items.shape, bool)
    np.put_along_axis(out, order, again, axis=1)
    return out


def duplicates_share(items: Int[np.ndarray, "U K"]) -> float:
    """Return which share of the returned items repeats an earlier one of its list (0 is right).

    >>> duplicates_share(np.array([[4, 2, 4, -1], [1, 2, 3, 4]]))
    0.14285714285714285
    """
    returned = int((items >= 0).sum())
    return float(repeated(items).sum() / returned) if returned else 0.0


def valid_share(items: Int[np.ndarray, "U K"], num_items: int, excluded: Histories) -> float:
    r"""Share of the places that could hold a legal item and do.

    .. math:: \mathrm{Valid} = \frac{\sum_u |\mathrm{distinct\ legal\ items\ in\ the\ list\ of\ }u|}
                                    {\sum_u \min(K,\; N - |X_u|)}

    It is 1 exactly when every list is as long as it can be and holds nothing but items of the
    catalog, none twice and none that is excluded for the user.

    Args:
      items: item rows, best first, ``-1`` padded.
      num_items: items of the catalog, N.
      excluded: item rows that must not be recommended to each user (:math:`X_u`, repetitions
        allowed).

    Returns:
      0 to 1; 1 when no user has a legal item.

    >>> valid_share(np.array([[0, 3], [2, -1]]), 4, Histories.from_lists([[3], []]))
    0.5
    """
    real = (items >= 0) & (items < num_items)
    legal = real & ~repeated(items) & ~excluded.contains(items)
    forbidden = excluded.distinct().lengths
    attainable = int(np.minimum(items.shape[1], num_items - forbidden).sum())
    return float(legal.sum() / attainable) if attainable else 1.0
