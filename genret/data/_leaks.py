"""The check that no held-out event can be learned from."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from genret.data._splits import Split
from genret.errors import GenretError
from genret.histories import Histories

NEVER = np.iinfo(np.int64).min
"""Earlier than every time; times before 1970 are negative."""
_USERS_A_PIECE = 1 << 16
"""Users that are looked at together: their events may lie in a file."""

Piece = tuple[int, Histories, Split]
"""The first of some users, their events and the split of these."""


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
    found = _Leaks(user_ids)
    for first, piece, part in _pieces(events, split):
        _check_positions(found, first, piece, part)
    found.refuse()
    if events.times is None:
        return
    for first, piece, _ in _pieces(events, split):
        _check_order(user_ids, first, piece)
    if by_time:
        _check_times(found, events, split)
        found.refuse()


class _Leaks:
    """Leaks of each kind: the first user who has one, and how many have."""

    def __init__(self, user_ids: pa.Array) -> None:
        self._user_ids = user_ids
        self._found: dict[str, tuple[int, int]] = {}

    def add(self, first: int, leaks: np.ndarray, what: str) -> None:
        """Note which of the users from ``first`` on have a leak."""
        user, count = self._found.get(what, (-1, 0))
        if user < 0 and leaks.any():
            user = first + int(np.argmax(leaks))
        self._found[what] = (user, count + int(np.count_nonzero(leaks)))

    def refuse(self) -> None:
        """Raise GenretError if there is a leak, by the kind that was looked for first."""
        for what, (user, count) in self._found.items():
            if count:
                more = f" (and {count - 1} more users)" if count > 1 else ""
                raise GenretError(f"leak: user {self._user_ids[user].as_py()!r} {what}{more}")


def _pieces(events: Histories, split: Split) -> Iterator[Piece]:
    for first in range(0, len(events), _USERS_A_PIECE):
        last = min(first + _USERS_A_PIECE, len(events))
        columns = (split.train_end, split.valid_at, split.test_at)
        part = Split(*(column[first:last] for column in columns))
        yield first, events.slice(first, last), part


def _check_positions(found: _Leaks, first: int, events: Histories, split: Split) -> None:
    train_end, lengths = split.train_end, events.lengths
    wrong = (train_end < 0) | (train_end > lengths)
    found.add(first, wrong, "trains on events that it lacks")
    for part, at in (("validation", split.valid_at), ("test", split.test_at)):
        found.add(first, (at < -1) | (at >= lengths), f"has a {part} event beyond its history")
        among = (at >= 0) & (at < train_end)
        found.add(first, among, f"has its {part} event among training events")
    late = (split.valid_at >= 0) & (split.test_at >= 0) & (split.valid_at >= split.test_at)
    found.add(first, late, "has its test event in the history of its validation event or before")


def _check_order(user_ids: pa.Array, first: int, events: Histories) -> None:
    assert events.times is not None
    starts = np.zeros(events.num_events, bool)
    starts[events.offsets[:-1][events.lengths > 0]] = True
    backwards = np.flatnonzero((np.diff(events.times) < 0) & ~starts[1:])
    if len(backwards):
        user = first + int(np.searchsorted(events.offsets, backwards[0] + 1, side="right")) - 1
        raise GenretError(f"leak: user {user_ids[user].as_py()!r} has events out of time order")


def _check_times(found: _Leaks, events: Histories, split: Split) -> None:
    last_train = last_valid = NEVER
    for _, piece, part in _pieces(events, split):
        last_train = max(last_train, _last_time(piece, part.train_end - 1))
        last_valid = max(last_valid, _last_time(piece, part.valid_at))
    for first, piece, part in _pieces(events, split):
        valid, test = _times_at(piece, part.valid_at), _times_at(piece, part.test_at)
        found.add(first, valid <= last_train, "has a validation event in train time")
        found.add(first, test <= last_train, "has a test event in training time")
        # A validation event of one user must be older than the test event of any other.
        found.add(first, test <= last_valid, "has a test event in validation time")


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
