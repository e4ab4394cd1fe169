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


def sorted_in_memory(pieces: Iterable[Events], rows: int) -> Events:
    """Sort events by user, then time, then row.

    The columns are put in order one after the other, so that only one of them lies in memory twice.

    Args:
      pieces: the events, in the order of their rows.
      rows: the rows that were read; there are at most as many events.

    Returns:
      All events; the type of their rows is int32 where that holds every row.

    >>> piece = Events(np.array([1, 0]), np.array([5, 6]), np.array([7, 7]), np.array([0, 1]))
    >>> sorted_in_memory(iter([piece]), 2).item.tolist()
    [6, 5]
    """
    columns = _joined(pieces, rows)
    keys = [columns[name] for name in ("time", "user") if name in columns]
    order = np.lexsort(keys)  # stable: equal times keep the order of the rows
    del keys
    for name in list(columns):
        columns[name] = columns[name][order]
    return Events(columns["user"], columns["item"], columns.get("time"), columns["row"])


def _joined(pieces: Iterable[Events], rows: int) -> dict[str, np.ndarray]:
    """Return the columns of all pieces. Memory that no event fills is asked for but never used."""
    row_type = np.int32 if rows <= np.iinfo(np.int32).max else np.int64
    types = {"user": np.int32, "item": np.int32, "time": np.int64, "row": row_type}
    columns = {name: np.empty(rows, kind) for name, kind in types.items()}
    count = 0
    for piece in pieces:
        if piece.time is None:
            columns.pop("time", None)
        end = count + len(piece.user)
        for name, column in columns.items():
            column[count:end] = getattr(piece, name)
        count = end
    return {name: column[:count] for name, column in columns.items()}


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
    run = np.cumsum(~tied[close])  # the first of a run is not tied to the event before
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
