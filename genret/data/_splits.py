"""Which events of each user are for training and which are held out.

A split is three numbers a user: events ``[0, train_end)`` of the history are for training, the
events at ``valid_at`` and ``test_at`` are held out (-1: none).
"""

import dataclasses

import numpy as np

from genret.errors import GenretError
from genret.histories import Histories
from genret.typing import Int


@dataclasses.dataclass(frozen=True)
class Split:
    """The split of each user, three int32 arrays [U]."""

    train_end: Int[np.ndarray, "U"]
    valid_at: Int[np.ndarray, "U"]
    test_at: Int[np.ndarray, "U"]


def leave_one_out(histories: Histories) -> Split:
    """Hold out the last event of each user for the test and the one before it for validation.

    Users with fewer than three events keep all of them for training.

    Args:
      histories: all events of each user.

    Returns:
      The split.

    >>> split = leave_one_out(Histories.from_lists([[5, 6, 7, 8], [5, 6]]))
    >>> split.train_end.tolist(), split.valid_at.tolist(), split.test_at.tolist()
    ([2, 2], [2, -1], [3, -1])
    """
    lengths = histories.lengths.astype(np.int32)
    enough = lengths >= 3
    return Split(
        train_end=np.where(enough, lengths - 2, lengths),
        valid_at=np.where(enough, lengths - 2, np.int32(-1)),
        test_at=np.where(enough, lengths - 1, np.int32(-1)),
    )


def by_time(histories: Histories, valid_fraction: float, test_fraction: float) -> Split:
    """Hold out the newest events of all users together.

    Two moments cut the events: before the first is training, from the first to the second is
    validation, from the second on is the test. A user's first event of a part is held out.

    Args:
      histories: all events of each user, with their times.
      valid_fraction: share of the events that are for validation.
      test_fraction: share of the events that are for the test.

    Returns:
      The split.

    Raises:
      GenretError: too many events have equal times to cut them so.

    >>> events = Histories.from_lists([[5, 6, 7], [5, 6]], times=[[1, 2, 9], [4, 6]])
    >>> split = by_time(events, 0.2, 0.2)
    >>> split.train_end.tolist(), split.valid_at.tolist(), split.test_at.tolist()
    ([2, 1], [-1, 1], [2, -1])
    """
    times = histories.times
    if times is None:
        raise GenretError("split by-time: the events have no times; use leave-one-out")
    ordered = np.sort(times)
    count = len(times)
    test_start = ordered[min(count - 1, round(count * (1 - test_fraction)))]
    valid_start = ordered[min(count - 1, round(count * (1 - test_fraction - valid_fraction)))]
    if not ordered[0] < valid_start < test_start:
        raise GenretError(
            f"split by-time: the {count} events cannot be cut into training, validation and test: "
            "too many have equal times; use leave-one-out or other fractions"
        )
    lengths = histories.lengths
    before_valid = _counts(times < valid_start, histories)
    before_test = _counts(times < test_start, histories)
    none = np.int32(-1)
    return Split(
        train_end=before_valid,
        valid_at=np.where(before_valid < before_test, before_valid, none),
        test_at=np.where(before_test < lengths, before_test, none),
    )


def _counts(marks: np.ndarray, histories: Histories) -> np.ndarray:
    """Return the number of marked events of each user, int32."""
    before = np.concatenate([[0], np.cumsum(marks)])
    return np.diff(before[histories.offsets]).astype(np.int32)
