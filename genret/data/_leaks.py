"""The check that no held-out event can be learned from."""

import numpy as np
import pyarrow as pa

from genret.data._splits import Split
from genret.errors import GenretError
from genret.histories import Histories

NEVER = np.iinfo(np.int64).min
"""Earlier than every time; times before 1970 are negative."""


def check_leaks(user_ids: pa.Array, events: Histories, split: Split, *, by_time: bool) -> None:
    """Check that nothing held out can be learned from.

    For every user, held-out events come after all training events, the test event comes after the
    validation event, and events ascend in time. If the events were split by time, the same holds
    across users: every training event is older than every held-out event, and every validation
    event is older than every test event.

    Args:
      user_ids: ids of the users [U], for messages.
      events: all events of each user.
      split: which of them are held out.
      by_time: whether they were split by time.

    Raises:
      GenretError: a leak; the message names the user.
    """

    def refuse(leaks: np.ndarray, what: str) -> None:
        users = np.flatnonzero(leaks)
        if len(users):
            name = user_ids[int(users[0])].as_py()
            more = f" (and {len(users) - 1} more users)" if len(users) > 1 else ""
            raise GenretError(f"leak: user {name!r} {what}{more}")

    train_end, valid_at, test_at = split.train_end, split.valid_at, split.test_at
    lengths = events.lengths
    refuse((train_end < 0) | (train_end > lengths), "trains on events that it lacks")
    for part, at in (("validation", valid_at), ("test", test_at)):
        refuse((at < -1) | (at >= lengths), f"has a {part} event beyond its history")
        refuse((at >= 0) & (at < train_end), f"has its {part} event among training events")
    late = (valid_at >= 0) & (test_at >= 0) & (valid_at >= test_at)
    refuse(late, "has its test event in the history of its validation event or before")
    if events.times is None:
        return
    starts = np.zeros(events.num_events, bool)
    starts[events.offsets[:-1][lengths > 0]] = True
    backwards = np.flatnonzero((np.diff(events.times) < 0) & ~starts[1:])
    if len(backwards):
        user = int(np.searchsorted(events.offsets, backwards[0] + 1, side="right")) - 1
        raise GenretError(f"leak: user {user_ids[user].as_py()!r} has events out of time order")
    if by_time:
        last_train = _last_time(events, train_end - 1)
        refuse(_times_at(events, valid_at) <= last_train, "has a validation event in train time")
        refuse(_times_at(events, test_at) <= last_train, "has a test event in training time")
        # A validation event of one user must be older than the test event of any other.
        last_valid = _last_time(events, valid_at)
        refuse(_times_at(events, test_at) <= last_valid, "has a test event in validation time")


def _times_at(events: Histories, at: np.ndarray) -> np.ndarray:
    """Return the time of each user's event at a position; users without one get the far future."""
    assert events.times is not None
    found = np.full(len(at), np.iinfo(np.int64).max)
    found[at >= 0] = events.times[(events.offsets[:-1] + at)[at >= 0]]
    return found


def _last_time(events: Histories, at: np.ndarray) -> int:
    """Return the latest time among the users' events at a position; NEVER where nobody has one."""
    found = _times_at(events, at)[at >= 0]
    return int(found.max(initial=NEVER))
