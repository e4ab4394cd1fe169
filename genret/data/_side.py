"""What is known of an event beside its item: the time since the one before, and its user."""

from typing import Any

import numpy as np

from genret.typing import Int

_MICROSECONDS = 1_000_000


def gap_buckets(offsets: Any, times: Int[np.ndarray, "E"], buckets: int) -> Int[np.ndarray, "E"]:
    """Return a bucket of the time between each event and the one before it in its history.

    Bucket b > 0 holds gaps of ``2^(b-1) - 1`` to less than ``2^b - 1`` seconds, the last one all
    longer ones; 0 is the first event of a history.

    Args:
      offsets: where each history begins, [U + 1].
      times: microseconds, ascending in a history.
      buckets: number of buckets, at least 2.

    Returns:
      int32.

    >>> gap_buckets([0, 4, 5], np.array([0, 0, 2, 1002, 7]) * 1_000_000, 8).tolist()
    [0, 1, 2, 7, 0]
    """
    offsets = np.asarray(offsets, np.int64)
    times = np.asarray(times, np.int64)
    seconds = np.diff(times, prepend=times[:1]) // _MICROSECONDS
    found = 1 + np.floor(np.log2(np.maximum(seconds, 0) + 1.0)).astype(np.int64)
    found = np.minimum(found, buckets - 1).astype(np.int32)
    first = offsets[:-1][np.diff(offsets) > 0]
    found[first] = 0
    return found


def user_buckets(rows: Any, buckets: int) -> Int[np.ndarray, "U"]:
    """Return a bucket of each user, by row number; 0 is kept for users who are unknown (-1).

    >>> user_buckets([0, 1, 2, -1], 3).tolist()
    [1, 2, 1, 0]
    """
    rows = np.asarray(rows, np.int64)
    return np.where(rows < 0, 0, 1 + rows % (buckets - 1)).astype(np.int32)
