"""Which events are for training, which are held out, and the proof that nothing leaks.

A split is three numbers a user: events ``[0, train_end)`` of the history are for training, the
events at ``valid_at`` and ``test_at`` are held out (-1: none).
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from genret.errors import GenretError
from genret.histories import Histories
from genret.typing import Int

NEVER = np.iinfo(np.int64).min
"""Earlier than every time; times before 1970 are negative."""

if TYPE_CHECKING:
    from genret.data._histories import SplitHistories


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


def check_leaks(histories: "SplitHistories") -> None:
    """Prove that nothing held out can be learnt from.

    For every user: held-out events lie after all training events, the test's after the
    validation's; events ascend in time. Split by time, also over users: no training event is as
    late as any held-out event, no validation event as late as any test event.

    Raises:
      GenretError: a leak; the message names the user.
    """
    h, events = histories, histories.events
    lengths = events.lengths
    _require(h, (h.train_end < 0) | (h.train_end > lengths), "trains on events that it lacks")
    for part, at in (("validation", h.valid_at), ("test", h.test_at)):
        _require(h, (at < -1) | (at >= lengths), f"has a {part} event beyond its history")
        _require(h, (at >= 0) & (at < h.train_end), f"has its {part} event among training events")
    late = (h.valid_at >= 0) & (h.test_at >= 0) & (h.valid_at >= h.test_at)
    _require(h, late, "has its test event in the history of its validation event or before")
    if events.times is None:
        return
    starts = np.zeros(events.num_events, bool)
    starts[events.offsets[:-1][lengths > 0]] = True
    backwards = np.flatnonzero((np.diff(events.times) < 0) & ~starts[1:])
    if len(backwards):
        user = int(np.searchsorted(events.offsets, backwards[0] + 1, side="right")) - 1
        raise GenretError(f"leak: user {h.user_ids[user].as_py()!r} has events out of time order")
    if h.split == "by-time":
        last_train = events.times[_positions(events, h.train_end - 1, h.train_end > 0)].max(
            initial=NEVER
        )
        _require(
            h, _times_at(events, h.valid_at) <= last_train, "has a validation event in train time"
        )
        _require(h, _times_at(events, h.test_at) <= last_train, "has a test event in training time")
        # A validation event of one user must be older than the test event of any other.
        last_valid = events.times[_positions(events, h.valid_at, h.valid_at >= 0)].max(
            initial=NEVER
        )
        _require(
            h, _times_at(events, h.test_at) <= last_valid, "has a test event in validation time"
        )


def _require(histories: "SplitHistories", leaks: np.ndarray, what: str) -> None:
    users = np.flatnonzero(leaks)
    if len(users):
        name = histories.user_ids[int(users[0])].as_py()
        more = f" (and {len(users) - 1} more users)" if len(users) > 1 else ""
        raise GenretError(f"leak: user {name!r} {what}{more}")


def _positions(events: Histories, at: np.ndarray, where: np.ndarray) -> np.ndarray:
    positions: np.ndarray = (events.offsets[:-1] + at)[where]
    return positions


def _times_at(events: Histories, at: np.ndarray) -> np.ndarray:
    """Return the time of each user's event at a position; users without one get the far future."""
    assert events.times is not None
    found = np.full(len(at), np.iinfo(np.int64).max)
    found[at >= 0] = events.times[_positions(events, at, at >= 0)]
    return found


def _counts(marks: np.ndarray, histories: Histories) -> np.ndarray:
    """Return the number of marked events of each user, int32."""
    before = np.concatenate([[0], np.cumsum(marks)])
    return np.diff(before[histories.offsets]).astype(np.int32)
