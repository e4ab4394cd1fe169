"""How users are laid out for a compiled program: the widths of their histories and exclusions."""

import dataclasses

import numpy as np

from genret.data import bucket_gaps, bucket_users
from genret.histories import Histories
from genret.recommend._decode import Users
from genret.typing import Int

WIDTHS = 7
_NARROWEST = 4
_SEEN = 64

Program = tuple[int, int]
"""Widths of the histories and of the excluded items of a compiled program."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """How users are searched for: what a compiled program depends on beside its shapes.

    Attributes:
      k: answers of a user.
      beams: beams of the search.
      widths: the widths that histories are padded to, ascending; longer ones keep their newest items.
      exclude_seen: whether the items of a user's own history are excluded.
      group_size: users that are decoded together. The last bits of a score depend on it and on the
        widths, and on nothing else about who is asked with whom.
      time_buckets: buckets of the time before each item that the model reads; 0: none.
      user_buckets: buckets of users that the model reads; 0: none.
    """

    k: int
    beams: int
    widths: tuple[int, ...]
    exclude_seen: bool
    group_size: int
    time_buckets: int = 0
    user_buckets: int = 0


@dataclasses.dataclass(frozen=True)
class Asked:
    """Users who are asked for together, and the program that each of them needs.

    Attributes:
      histories: the histories.
      seen: the items that are excluded for each; None: none are.
      gaps: bucket of the time before each item, int32 [E]; None where the model does not read it.
      users: bucket of each user, int32 [U]; None where the model does not read it.
      filter_of: the filter of each, int32 [U]; None where there are no filters.
      programs: widths of each user's program, [U, 2].
    """

    histories: Histories
    seen: Histories | None
    gaps: Int[np.ndarray, "E"] | None
    users: Int[np.ndarray, "U"] | None
    filter_of: Int[np.ndarray, "U"] | None
    programs: Int[np.ndarray, "U 2"]

    @classmethod
    def of(
        cls,
        histories: Histories,
        search: Search,
        filter_of: Int[np.ndarray, "U"] | None = None,
    ) -> "Asked":
        """Choose a program for each user."""
        widths = np.asarray(search.widths)
        width = widths[np.searchsorted(widths, np.minimum(histories.lengths, widths[-1]))]
        seen, wide = None, np.zeros_like(width)
        if search.exclude_seen:
            seen = histories.distinct()
            ladder = exclusion_widths(search.widths[-1], int(seen.lengths.max(initial=0)))
            wide = ladder[np.searchsorted(ladder, seen.lengths)]
        return cls(
            histories=histories,
            seen=seen,
            gaps=bucket_gaps(histories, search.time_buckets) if search.time_buckets else None,
            users=bucket_users(histories, search.user_buckets) if search.user_buckets else None,
            filter_of=filter_of,
            programs=np.stack([width, wide], axis=1),
        )

    def lay_out(
        self, rows: Int[np.ndarray, "R"], program: Program, slots: Int[np.ndarray, "R"], size: int
    ) -> Users:
        """Return some of the users, each at its slot of a batch of ``size``; the rest is padding."""
        width, wide = program
        own = self.histories.take(rows)
        users = blank(size, program, self)
        users.lengths[slots] = np.minimum(own.lengths, width)
        users.items[slots] = own.padded(width, 0)
        if self.gaps is not None:
            # Gaps ride in the place of the items: whatever belongs to an event is taken alike.
            beside = dataclasses.replace(self.histories, items=self.gaps).take(rows)
            users.gaps[slots] = beside.padded(width, 0)
        if self.users is not None:
            users.users[slots] = self.users[rows]
        if self.filter_of is not None:
            users.filter_of[slots] = self.filter_of[rows]
        if self.seen is not None:
            users.exclude[slots] = self.seen.take(rows).padded(wide)
        return users


def blank(size: int, program: Program, like: Asked) -> Users:
    """Return an empty batch, with the same optional arrays as ``like``."""
    width, wide = program
    return Users(
        items=np.zeros((size, width), np.int32),
        lengths=np.zeros(size, np.int32),
        gaps=None if like.gaps is None else np.zeros((size, width), np.int32),
        users=None if like.users is None else np.zeros(size, np.int32),
        filter_of=None if like.filter_of is None else np.zeros(size, np.int32),
        exclude=None if like.seen is None else np.full((size, wide), -1, np.int32),
    )


def exclusion_widths(max_items: int, longest: int) -> Int[np.ndarray, "W"]:
    """Return the widths of the lists of excluded items: few, the last one at least the longest.

    >>> exclusion_widths(20, 30).tolist(), exclusion_widths(100, 600).tolist()
    ([64], [128, 512, 2048])
    """
    widths = [max(_SEEN, 1 << (max_items - 1).bit_length())]
    while widths[-1] < longest:
        widths.append(4 * widths[-1])
    return np.array(widths)


def widths_of(max_items: int) -> tuple[int, ...]:
    """Return widths for the histories of many users: few, and never far from a length.

    >>> widths_of(20), widths_of(3)
    ((4, 6, 7, 9, 12, 16, 20), (3,))
    """
    if max_items <= _NARROWEST:
        return (max_items,)
    ratio = (max_items / _NARROWEST) ** (1 / (WIDTHS - 1))
    widths = {int(np.ceil(_NARROWEST * ratio**i - 1e-9)) for i in range(WIDTHS)}
    return tuple(sorted(widths | {max_items}))
