"""The popularity baseline: everybody gets the items with most training events."""

import numpy as np

from genret.histories import Histories
from genret.typing import Int


def item_counts(items: Int[np.ndarray, "E"], num_items: int) -> Int[np.ndarray, "N"]:
    """Return how often each item occurs in events (pass training events only).

    >>> item_counts(np.array([2, 0, 2]), num_items=4)
    array([1, 0, 2, 0])
    """
    return np.bincount(items, minlength=num_items)


def popular_items(
    train_counts: Int[np.ndarray, "N"],
    histories: Histories,
    *,
    k: int,
    exclude_seen: bool,
    cells: int = 1 << 22,
) -> Int[np.ndarray, "U K"]:
    """Recommend the most popular items to every user.

    Args:
      train_counts: training events of each item.
      histories: the histories, item rows.
      k: length of the lists.
      exclude_seen: leave out the items of the user's own history.
      cells: candidates held in memory at once, over all users of a batch.

    Returns:
      Item rows, int32, the most popular first, ties by item row; ``-1`` padded where fewer than k
      items are left.

    >>> histories = Histories.from_lists([[1], []])
    >>> popular_items(np.array([5, 9, 9, 1]), histories, k=2, exclude_seen=True)
    array([[2, 0],
           [1, 2]], dtype=int32)
    """
    by_popularity = np.argsort(-train_counts, kind="stable").astype(np.int32)
    place = np.empty(len(by_popularity), np.int64)
    place[by_popularity] = np.arange(len(by_popularity))
    users = len(histories)
    out = np.full((users, k), -1, np.int32)
    # The first k unseen items lie in the first k + (length of the history) places.
    longest = int(histories.lengths.max(initial=0)) if exclude_seen else 0
    head = by_popularity[: k + longest]
    batch = max(1, cells // max(1, len(head)))
    for start in range(0, users, batch):
        part = histories.slice(start, min(start + batch, users))
        seen = np.zeros((len(part), len(head)), bool)
        if exclude_seen:
            at = place[part.items]
            near = at < len(head)
            seen[part.owners[near], at[near]] = True
        first = np.argsort(seen, axis=1, kind="stable")[:, :k]
        kept = ~np.take_along_axis(seen, first, axis=1)
        out[start : start + batch, : first.shape[1]] = np.where(kept, head[first], -1)
    return out
