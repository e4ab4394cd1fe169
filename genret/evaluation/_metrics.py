"""Metrics of ranked lists with one relevant item each, counted over items.

A list is a row of item rows, best first; ``-1`` fills a list that is too short. The *rank* of a
target is its position in the list, from 1; rank 0 means that the list does not hold it. Every
metric of accuracy is a function of that rank alone.
"""

import numpy as np

from genret.evaluation._csr import owners, pair_keys, seen_pairs
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


def coverage(items: Int[np.ndarray, "U K"], k: int, num_items: int) -> float:
    r"""Share of the catalogue that is recommended to anybody.

    .. math:: \mathrm{Coverage@}k = \frac{1}{N}\Big|\bigcup_u \{i_{u,1}, …, i_{u,k}\}\Big|

    Args:
      items: item rows, best first, ``-1`` padded.
      k: cut-off.
      num_items: items of the catalogue, N.

    Returns:
      0 to 1.

    >>> coverage(np.array([[4, 2], [4, -1]]), 2, num_items=8)
    0.25
    """
    head = items[:, :k]
    return len(np.unique(head[head >= 0])) / num_items


def average_popularity(
    items: Int[np.ndarray, "U K"], k: int, train_counts: Int[np.ndarray, "N"]
) -> float:
    r"""Popularity bias as ARP, the average recommendation popularity.

    .. math:: \mathrm{ARP@}k = \frac{1}{U}\sum_u \frac{1}{|R_u|}\sum_{i \in R_u} c_i

    where :math:`R_u` are the first k items of the list and :math:`c_i` is how often item i occurs
    in the training events. Users with an empty list are left out of the mean.

    Args:
      items: item rows, best first, ``-1`` padded.
      k: cut-off.
      train_counts: training events of each item.

    Returns:
      Training events of a recommended item, on average; 0 when every list is empty.

    Source: Yin, Cui, Li, Yao and Chen, "Challenging the long tail recommendation", 2012.

    >>> average_popularity(np.array([[0, 2], [2, -1]]), 2, np.array([10, 5, 4]))
    5.5
    """
    head = items[:, :k]
    real = head >= 0
    listed = real.sum(axis=1)
    sums = np.where(real, train_counts[head], 0).sum(axis=1)
    answered = listed > 0
    if not answered.any():
        return 0.0
    return float(np.mean(sums[answered] / listed[answered]))


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


def valid_share(
    items: Int[np.ndarray, "U K"],
    num_items: int,
    offsets: Int[np.ndarray, "_"],
    excluded: Int[np.ndarray, "E"],
) -> float:
    r"""Share of the places that could hold a legal item and do.

    .. math:: \mathrm{Valid} = \frac{\sum_u |\mathrm{distinct\ legal\ items\ in\ the\ list\ of\ }u|}
                                    {\sum_u \min(K,\; N - |X_u|)}

    It is 1 exactly when every list is as long as it can be and holds nothing but items of the
    catalogue, none twice and none that is excluded for the user.

    Args:
      items: item rows, best first, ``-1`` padded.
      num_items: items of the catalogue, N.
      offsets: [U + 1], where each user's excluded items begin in ``excluded``.
      excluded: item rows that must not be recommended (:math:`X_u`, repetitions allowed).

    Returns:
      0 to 1; 1 when no user has a legal item.

    >>> valid_share(np.array([[0, 3], [2, -1]]), 4, np.array([0, 1, 1]), np.array([3]))
    0.5
    """
    users, k = items.shape
    forbidden = seen_pairs(offsets, excluded, num_items)
    keys = pair_keys(owners(np.arange(users + 1) * k), items.reshape(-1), num_items)
    real = (items >= 0) & (items < num_items)
    legal = real & ~repeated(items) & ~np.isin(keys, forbidden).reshape(items.shape)
    forbidden_of_user = np.bincount(forbidden // num_items, minlength=users)
    attainable = int(np.minimum(k, num_items - forbidden_of_user).sum())
    return float(legal.sum() / attainable) if attainable else 1.0
