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
    times = histories.times
    if times is None:
        return np.zeros(histories.num_events, np.int32)
    seconds = np.diff(times, prepend=times[:1]) // _MICROSECONDS
    found = 1 + np.floor(np.log2(np.maximum(seconds, 0) + 1.0)).astype(np.int64)
    found = np.minimum(found, buckets - 1).astype(np.int32)
    found[histories.offsets[:-1][histories.lengths > 0]] = 0
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
    if histories.users is None:
        return np.zeros(len(histories), np.int32)
    rows = histories.users.astype(np.int64)
    return np.where(rows < 0, 0, 1 + rows % (buckets - 1)).astype(np.int32)
