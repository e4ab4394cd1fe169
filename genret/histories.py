"""Histories: what users did, oldest first, one user after the other (a ragged array)."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from genret.errors import GenretError
from genret.typing import Bool, Int, Shaped

_NARROWEST = 16
"""Least width of the lists of excluded items."""
_BLOCK = 1 << 20
"""Events that are looked at together, where all are: they may lie in a file."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Histories:
    """The items of each user, oldest first.

    History ``u`` is ``items[offsets[u]:offsets[u + 1]]``.

    Attributes:
      offsets: int64 [U + 1], where each history starts in ``items``, and the end.
      items: int32 [E], item positions.
      times: int64 [E], microseconds since 1970 of each event; None where unknown.
      users: int32 [U], the row of each user in the training data, -1 for one that it did not hold;
        None where unknown. Models that learned something about each user read it.

    Raises:
      GenretError: arrays whose shapes or types do not fit together.

    >>> histories = Histories.from_lists([[7, 8, 7], [], [9]])
    >>> len(histories), histories.num_events, histories[0].tolist()
    (3, 4, [7, 8, 7])
    >>> histories.padded(2).tolist()
    [[8, 7], [-1, -1], [9, -1]]
    >>> histories.distinct().take([0, 2]).to_lists()
    [[7, 8], [9]]
    """

    offsets: Int[np.ndarray, "U1"]
    items: Int[np.ndarray, "E"]
    times: Int[np.ndarray, "E"] | None = None
    users: Int[np.ndarray, "U"] | None = None

    def __post_init__(self) -> None:
        fields = {
            "offsets": (_integers(self.offsets, "offsets"), np.int64),
            "items": (_integers(self.items, "items"), np.int32),
        }
        if self.times is not None:
            fields["times"] = (_integers(self.times, "times"), np.int64)
        if self.users is not None:
            fields["users"] = (_integers(self.users, "users"), np.int32)
        for name, (array, dtype) in fields.items():
            object.__setattr__(self, name, _converted(array, dtype, name))
        offsets, num_events = self.offsets, len(self.items)
        if not offsets.size or offsets[0] != 0 or offsets[-1] != num_events:
            raise GenretError(
                f"offsets: expected rising numbers from 0 to the number of items, {num_events}"
            )
        if (offsets[1:] < offsets[:-1]).any():
            user = int(np.argmax(offsets[1:] < offsets[:-1]))
            raise GenretError(
                f"offsets: entry {user + 1} is {offsets[user + 1]}, expected at least the one "
                f"before it, {offsets[user]}"
            )
        if self.times is not None and len(self.times) != num_events:
            raise GenretError(f"times: found {len(self.times)}, expected one an item, {num_events}")
        if self.users is not None and len(self.users) != len(self):
            raise GenretError(
                f"users: found {len(self.users)}, expected one a history, {len(self)}"
            )

    @classmethod
    def from_lists(
        cls,
        lists: Iterable[Any],
        *,
        times: Iterable[Any] | None = None,
        users: Any = None,
    ) -> "Histories":
        """Join lists of item positions.

        Args:
          lists: the items of each user, oldest first.
          times: microseconds since 1970 of each event, in lists of the same lengths.
          users: int [U], as the attribute.

        Raises:
          GenretError: an entry that is no integer, or lists of times of other lengths.
        """
        parts = [_integers(part, f"items[{row}]") for row, part in enumerate(lists)]
        joined_times = None
        if times is not None:
            time_parts = [_integers(part, f"times[{row}]") for row, part in enumerate(times)]
            lengths = [len(part) for part in parts]
            if [len(part) for part in time_parts] != lengths:
                raise GenretError("times: found lists of other lengths than those of the items")
            joined_times = np.concatenate([np.empty(0, np.int64), *time_parts])
        return cls(
            offsets=offsets_of(np.array([len(part) for part in parts], np.int64)),
            items=np.concatenate([np.empty(0, np.int64), *parts]),
            times=joined_times,
            users=None if users is None else _integers(users, "users"),
        )

    # Shape

    def __len__(self) -> int:
        """Number of users, U."""
        return len(self.offsets) - 1

    @property
    def num_events(self) -> int:
        """Number of events of all users, E."""
        return len(self.items)

    @property
    def lengths(self) -> Int[np.ndarray, "U"]:
        """Number of events of each user, int64."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> Int[np.ndarray, "E"]:
        """The history that each event belongs to, int64."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def __getitem__(self, user: int) -> Int[np.ndarray, "T"]:
        """Return the items of one user."""
        if not -len(self) <= user < len(self):
            raise IndexError(f"user {user} of {len(self)}")
        user %= len(self)
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def to_lists(self) -> list[list[int]]:
        """Return the items as lists of Python integers."""
        return [part.tolist() for part in np.split(self.items, self.offsets[1:-1])][: len(self)]

    # Parts

    def take(self, rows: Any) -> "Histories":
        """Return the histories of some users, in the given order."""
        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        starts = self.offsets[:-1][rows]
        return self._between(starts, self.offsets[1:][rows] - starts, rows)

    def slice(self, start: int, stop: int) -> "Histories":
        """Return the histories of users ``start`` to ``stop``; no event is copied."""
        first, last = self.offsets[start], self.offsets[stop]
        return Histories(
            offsets=self.offsets[start : stop + 1] - first,
            items=self.items[first:last],
            times=None if self.times is None else self.times[first:last],
            users=None if self.users is None else self.users[start:stop],
        )

    def first(self, counts: Any) -> "Histories":
        """Return the oldest events of each history, at most ``counts`` (one number, or [U])."""
        counts = np.minimum(self.lengths, counts)
        return self._between(self.offsets[:-1], counts, np.arange(len(self)))

    def last(self, counts: Any) -> "Histories":
        """Return the newest events of each history, at most ``counts`` (one number, or [U])."""
        counts = np.minimum(self.lengths, counts)
        return self._between(self.offsets[1:] - counts, counts, np.arange(len(self)))

    def _between(self, starts: Any, lengths: Any, rows: Any) -> "Histories":
        offsets = offsets_of(lengths)
        events = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Histories(
            offsets=offsets,
            items=self.items[events],
            times=None if self.times is None else self.times[events],
            users=None if self.users is None else self.users[rows],
        )

    def filled_up(self, count: int) -> "Histories":
        """Return the histories, then empty ones of unknown users until there are ``count``."""
        more = max(0, count - len(self))
        users = self.users
        if users is not None:
            users = np.concatenate([users, np.full(more, -1, np.int32)])
        offsets = np.concatenate([self.offsets, np.full(more, self.offsets[-1])])
        return dataclasses.replace(self, offsets=offsets, users=users)

    def distinct(self) -> "Histories":
        """Return the distinct items of each history, ascending, without times."""
        size = int(self.items.max(initial=-1)) + 1
        if self.items.min(initial=0) < 0:
            raise GenretError(f"items: found {self.items.min()}, expected item positions from 0")
        keys = np.unique(self.owners * size + self.items)
        owners, items = np.divmod(keys, max(size, 1))
        return Histories(
            offsets=np.searchsorted(owners, np.arange(len(self) + 1)),
            items=items,
            users=self.users,
        )

    def contains(self, items: Int[np.ndarray, "U K"]) -> Bool[np.ndarray, "U K"]:
        """Say which of some items occur in the history of their row.

        >>> Histories.from_lists([[7, 8], [9]]).contains(np.array([[8, 9], [9, -1]])).tolist()
        [[True, False], [True, False]]
        """
        size = max(int(self.items.max(initial=-1)), int(items.max(initial=-1))) + 1
        keys = self.owners * size + self.items
        asked = np.arange(len(self))[:, None] * size + items
        found: np.ndarray = np.isin(asked, keys[self.items >= 0]) & (items >= 0)
        return found

    def exclusions(self, width: int | None = None) -> Int[np.ndarray, "U X"]:
        """Return the distinct items of each history as rows for ``exclude`` of a search.

        Args:
          width: X; None: the first of 16, 64, 256, … that holds the longest row, so that calls of
            many lengths share few compiled programs.

        Returns:
          int32 [U, X], padded with -1.

        Raises:
          GenretError: a history has more distinct items than the width.

        >>> Histories.from_lists([[7, 2, 7], []]).exclusions(3).tolist()
        [[2, 7, -1], [-1, -1, -1]]
        """
        distinct = self.distinct()
        longest = int(distinct.lengths.max(initial=0))
        if width is None:
            width = _NARROWEST
            while width < longest:
                width *= 4
        if longest > width:
            raise GenretError(f"items: a history has {longest} distinct ones, at most {width}")
        return distinct.padded(width)

    # Rectangles

    def padded(self, width: int, fill: int = -1) -> Int[np.ndarray, "U width"]:
        """Return the newest ``width`` items of each user, oldest first and right-padded.

        Args:
          width: T.
          fill: what stands where a history is shorter.

        Returns:
          int32 [U, T].
        """
        return self.spread(self.items, width, fill)

    def spread(
        self, values: Shaped[np.ndarray, "E"], width: int, fill: Any = 0
    ) -> Shaped[np.ndarray, "U width"]:
        """Lay out a value of each event as :meth:`padded` lays out the items."""
        present, events = self.newest(width)
        laid_out = np.full(present.shape, fill, values.dtype)
        laid_out[present] = values[events]
        return laid_out

    def newest(self, width: int) -> tuple[Bool[np.ndarray, "U width"], Int[np.ndarray, "P"]]:
        """Return the places that the newest ``width`` events take, and those events, row by row."""
        lengths = np.minimum(self.lengths, width)
        slots = np.arange(width)
        present = slots < lengths[:, None]
        events = ((self.offsets[1:] - lengths)[:, None] + slots)[present]
        return present, events

    def check_items(self, num_items: int, name: str = "items") -> None:
        """Raise GenretError unless every item is one of ``num_items``."""
        for first in range(0, self.num_events, _BLOCK):
            block = self.items[first : first + _BLOCK]
            outside = (block < 0) | (block >= num_items)
            if outside.any():
                event = int(np.argmax(outside))
                raise GenretError(
                    f"{name}: entry {first + event} is {block[event]}, expected 0 to "
                    f"{num_items - 1}"
                )

    def item_counts(self, num_items: int) -> Int[np.ndarray, "N"]:
        """Return the number of events of each of ``num_items`` items, int64.

        >>> Histories.from_lists([[2, 0], [2]]).item_counts(4).tolist()
        [1, 0, 2, 0]
        """
        counts = np.zeros(num_items, np.int64)
        for first in range(0, self.num_events, _BLOCK):
            counts += np.bincount(self.items[first : first + _BLOCK], minlength=num_items)
        return counts


def offsets_of(lengths: Int[np.ndarray, "U"]) -> Int[np.ndarray, "U1"]:
    """Return where lists of some lengths start when they lie end to end, and the end: int64.

    >>> offsets_of(np.array([2, 0, 1])).tolist()
    [0, 2, 2, 3]
    """
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _converted(array: np.ndarray, dtype: Any, name: str) -> np.ndarray:
    """Return integers as another type that holds them all; no copy where they have it already."""
    if array.dtype == dtype:
        return array
    limits = np.iinfo(dtype)
    if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
        worst = max((int(array.min()), int(array.max())), key=abs)
        raise GenretError(f"{name}: found {worst}, expected integers of {limits.bits} bits")
    return array.astype(dtype)


def _integers(values: Any, name: str) -> np.ndarray:
    """Return a list of integers as an array, or refuse it by name."""
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError) as e:
        raise GenretError(f"{name}: found rows of unequal lengths, expected integers") from e
    if array.size == 0 and array.ndim <= 1:
        return array.astype(np.int64).reshape(-1)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise GenretError(
            f"{name}: found {array.dtype} of shape {array.shape}, expected a list of integers"
        )
    return array
