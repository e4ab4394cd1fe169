"""What is known of an event beside its item: the time since the one before, and its user."""

import numpy as np

from genret.histories import Histories
from genret.typing import Int

_MICROSECONDS = 1_000_000


def bucket_gaps(histories: Histories, buckets: int) -> Int[np.ndarray, "E"]:
    """Return a bucket of the time between each event and the one before it in its history.

    Bucket b > 0 holds gaps of ``2^(b-1) - 1`` to less than ``2^b - 1`` seconds, the last one all
    longer ones; 0 is the first event of a history, and every event whose time is unknown.

    Args:
      histories: the events, oldest first.
      buckets: number of buckets, at least 2.

    Returns:
      int32 [E].

    >>> seconds = [[0, 0, 2, 1002], [7]]
    >>> histories = Histories.from_lists(
    ...     [[1, 2, 3, 4], [5]], times=[np.array(own) * 1_000_000 for own in seconds])
    >>> bucket_gaps(histories, 8).tolist()
    [0, 1, 2, 7, 0]
    """
    return gaps_of(histories, np.arange(histories.num_events), histories.owners, buckets)


def gaps_of(
    histories: Histories,
    events: Int[np.ndarray, "P"],
    owners: Int[np.ndarray, "P"],
    buckets: int,
) -> Int[np.ndarray, "P"]:
    """Return what :func:`bucket_gaps` says of some events; ``owners`` are their histories."""
    times = histories.times
    if times is None:
        return np.zeros(len(events), np.int32)
    seconds = (times[events] - times[np.maximum(events - 1, 0)]) // _MICROSECONDS
    found = 1 + np.floor(np.log2(np.maximum(seconds, 0) + 1.0)).astype(np.int64)
    found = np.minimum(found, buckets - 1).astype(np.int32)
    found[events == histories.offsets[owners]] = 0
    return found


def bucket_users(histories: Histories, buckets: int) -> Int[np.ndarray, "U"]:
    """Return a bucket of the user of each history, by row; 0 is kept for users who are unknown.

    Args:
      histories: the histories; without ``users`` all users are unknown.
      buckets: number of buckets, at least 2.

    Returns:
      int32 [U].

    >>> bucket_users(Histories.from_lists([[5]] * 4, users=[0, 1, 2, -1]), 3).tolist()
    [1, 2, 1, 0]
    """
    return users_of(histories, np.arange(len(histories)), buckets)


def users_of(
    histories: Histories, rows: Int[np.ndarray, "P"], buckets: int
) -> Int[np.ndarray, "P"]:
    """Return what :func:`bucket_users` says of some histories."""
    if histories.users is None:
        return np.zeros(len(rows), np.int32)
    users = histories.users[rows].astype(np.int64)
    return np.where(users < 0, 0, 1 + users % (buckets - 1)).astype(np.int32)
