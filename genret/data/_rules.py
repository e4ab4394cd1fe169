"""The rules of ingestion that look at several events: order in time, duplicates, the k-core."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from genret.typing import Bool, Int

_BLOCK = 1 << 22


@dataclasses.dataclass(frozen=True)
class Events:
    """Events, one a row.

    Attributes:
      user: number of the user, int32 [E].
      item: number of the item, int32 [E].
      time: microseconds since 1970, int64 [E]; None: there are no times.
      row: number of the row over all files, int64 [E]; None: no longer needed.
    """

    user: Int[np.ndarray, "E"]
    item: Int[np.ndarray, "E"]
    time: Int[np.ndarray, "E"] | None
    row: Int[np.ndarray, "E"] | None = None

    def take(self, rows: np.ndarray) -> "Events":
        """Return some of the events, by a mask or by positions."""
        time = None if self.time is None else self.time[rows]
        row = None if self.row is None else self.row[rows]
        return Events(self.user[rows], self.item[rows], time, row)


def joined(pieces: Iterable[Events]) -> Events:
    """Return pieces as one.

    >>> piece = Events(*(np.array([1, 2]) for _ in range(4)))
    >>> joined([piece, piece]).item.tolist()
    [1, 2, 1, 2]
    """
    held = list(pieces)
    if len(held) == 1:
        return held[0]

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(piece, name) for piece in held])

    time = None if held[0].time is None else column("time")
    return Events(column("user"), column("item"), time, column("row"))


def sorted_in_memory(events: Events) -> Events:
    """Return events, given in the order of their rows, by user, then time, then row."""
    keys = (events.user,) if events.time is None else (events.time, events.user)
    return events.take(np.lexsort(keys))  # stable: equal times keep the order of the rows


def repeated_events(events: Events) -> Bool[np.ndarray, "E"]:
    """Mark the events that equal an earlier row in user, item and time.

    Args:
      events: events with times, by user, time and row.

    >>> user, item, time = np.array([[0, 0, 0, 1], [5, 6, 5, 5], [9, 9, 9, 9]])
    >>> repeated_events(Events(user, item, time, np.arange(4))).tolist()
    [False, False, True, False]
    """
    repeated = np.zeros(len(events.user), bool)
    tied = ties(events)
    # Only events that share user and time with a neighbor can be equal.
    close = np.flatnonzero(tied | np.append(tied[1:], False)[: len(tied)])
    run = np.cumsum(~tied)[close]
    item = events.item[close]
    order = np.lexsort((item, run))  # stable: of equal ones the first row stays first
    equal = np.zeros(len(order), bool)
    equal[1:] = (run[order][1:] == run[order][:-1]) & (item[order][1:] == item[order][:-1])
    repeated[close[order[equal]]] = True
    return repeated


def ties(events: Events) -> Bool[np.ndarray, "E"]:
    """Mark the events with the user and the time of the event before, in order of time."""
    assert events.time is not None
    tied = np.zeros(len(events.user), bool)
    tied[1:] = events.user[1:] == events.user[:-1]
    tied[1:] &= events.time[1:] == events.time[:-1]
    return tied


def core_rows(
    users: Int[np.ndarray, "E"],
    items: Int[np.ndarray, "E"],
    min_user_events: int,
    min_item_events: int,
) -> Bool[np.ndarray, "E"]:
    """Mark the events of the k-core: those left when users and items with too few events are
    dropped again and again, until all that remain have enough.

    >>> core_rows(np.array([0, 0, 1]), np.array([0, 1, 1]), 2, 1).tolist()
    [True, True, False]
    """  # noqa: D205
    keep = np.ones(len(users), bool)
    left = -1
    while left != (left := int(keep.sum())):
        for ids, least in ((users, min_user_events), (items, min_item_events)):
            if least <= 1:
                continue
            poor = _counts(ids, keep) < least
            for start in range(0, len(ids), _BLOCK):
                block = slice(start, start + _BLOCK)
                keep[block] &= ~poor[ids[block]]
    return keep


def _counts(ids: Int[np.ndarray, "E"], keep: Bool[np.ndarray, "E"]) -> np.ndarray:
    """Return how often each id is kept, a block at a time to spare memory."""
    counts = np.zeros(int(ids.max(initial=0)) + 1, np.int64)
    for start in range(0, len(ids), _BLOCK):
        block = slice(start, start + _BLOCK)
        counts += np.bincount(ids[block][keep[block]], minlength=len(counts))
    return counts
