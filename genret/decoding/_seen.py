"""Seen items: from histories to the lists of items that a search must not answer."""

import numpy as np

from genret.errors import GenretError
from genret.typing import Int

NARROWEST = 16
"""Least width of the lists of excluded items."""


def distinct_items(
    offsets: Int[np.ndarray, "_"], items: Int[np.ndarray, "E"], num_items: int
) -> tuple[Int[np.ndarray, "_"], Int[np.ndarray, "_"]]:
    """Return the distinct items of each history, ascending, as offsets and items.

    Args:
      offsets: history b is ``items[offsets[b]:offsets[b + 1]]``, int [B + 1].
      items: item positions.
      num_items: N, more than every item.

    >>> offsets, items = distinct_items(np.array([0, 3, 3]), np.array([7, 2, 7]), 9)
    >>> offsets.tolist(), items.tolist()
    ([0, 2, 2], [2, 7])
    """
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    users, distinct = np.divmod(np.unique(owners.astype(np.int64) * num_items + items), num_items)
    return np.searchsorted(users, np.arange(len(offsets))), distinct.astype(np.int32)


def exclusions(
    offsets: Int[np.ndarray, "_"], items: Int[np.ndarray, "E"], width: int | None = None
) -> Int[np.ndarray, "B X"]:
    """Return lists of items as the rows of ``exclude`` of :func:`beam_search`, padded with -1.

    Args:
      offsets: list b is ``items[offsets[b]:offsets[b + 1]]``, int [B + 1].
      items: item positions.
      width: X; None: 16 times the power of four that the longest needs, so that few programs are
        compiled.

    Raises:
      GenretError: a list is longer than the width.

    >>> exclusions(np.array([0, 2, 2]), np.array([2, 7]), 3).tolist()
    [[2, 7, -1], [-1, -1, -1]]
    """
    lengths = np.diff(offsets)
    longest = int(lengths.max(initial=0))
    if width is None:
        width = NARROWEST
        while width < longest:
            width *= 4
    if longest > width:
        raise GenretError(f"exclusions: found {longest} items of a user, expected at most {width}")
    out = np.full((len(lengths), width), -1, np.int32)
    out[np.arange(width)[None, :] < lengths[:, None]] = items[offsets[0] : offsets[-1]]
    return out
