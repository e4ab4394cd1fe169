"""Items with equal codes: told apart by one more level, or left to share a leaf."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from genret.errors import GenretError
from genret.tokenizers._base import check_codes
from genret.typing import Codes, Int


@dataclass(frozen=True)
class Collisions:
    """How many items share their codes with another one.

    Attributes:
      items: items that share.
      groups: different codes that more than one item has.
      largest: items of the largest group (1 where nobody shares).
    """

    items: int
    groups: int
    largest: int

    @classmethod
    def count(cls, codes: Codes) -> "Collisions":
        """Count the collisions of codes [N, L].

        >>> Collisions.count(np.array([[0, 1], [0, 1], [2, 1]]))
        Collisions(items=2, groups=1, largest=2)
        """
        sizes = np.unique(codes, axis=0, return_counts=True)[1]
        shared = sizes[sizes > 1]
        return cls(int(shared.sum()), len(shared), int(sizes.max()))


def resolve_collisions(
    codes: ArrayLike, codes_per_level: Sequence[int], how: Literal["suffix", "keep"]
) -> tuple[Codes, tuple[int, ...]]:
    """Tell items with equal codes apart, or leave them.

    ``suffix`` appends a level: the first item (in row order) of each group gets 0, the next 1 and
    so on. Rows of a catalog are in hash order, so the suffix says nothing about the histories.
    The level has the smallest power of two of codes that holds the largest group, at least 2, so
    that most groups have room for new items.

    ``keep`` leaves items on one leaf. A search then returns them one after the other, each at a rank
    of its own, with the score of the leaf: the lower item row first, which in a catalog is the
    order of a hash and favors nobody.

    :func:`reassign_collisions` is the third way.

    Args:
      codes: integers [N, L].
      codes_per_level: codes of each level.
      how: "suffix", or "keep" to return the codes as they are.

    Returns:
      The codes int32 [N, L + 1] (suffix; all rows differ) or [N, L] (keep), and the codes of each
      level.

    Raises:
      GenretError: codes out of range, or another value of ``how``.

    >>> codes, sizes = resolve_collisions([[3, 1], [0, 2], [3, 1]], [4, 4], "suffix")
    >>> codes.tolist(), sizes
    ([[3, 1, 0], [0, 2, 0], [3, 1, 1]], (4, 4, 2))
    """
    found, sizes = check_codes(codes, codes_per_level)
    if how == "keep":
        return found, sizes
    if how != "suffix":
        raise GenretError(f"collisions: found {how!r}, expected 'suffix' or 'keep'")
    _, group = np.unique(found, axis=0, return_inverse=True)
    suffix = _rank_in_group(group.reshape(-1))
    room = 1 << max(1, int(suffix.max()).bit_length())
    return np.concatenate([found, suffix[:, None]], axis=1), (*sizes, room)


def suffix_of_new(
    codes: ArrayLike, existing: ArrayLike, codes_per_level: Sequence[int]
) -> Int[np.ndarray, "K L"]:
    """Append suffixes to the codes of new items, past those of the items that are there.

    Args:
      codes: codes of the new items without suffix, integers [K, L - 1].
      existing: codes of the catalog with suffix, integers [N, L].
      codes_per_level: codes of each level, the suffix last, [L].

    Returns:
      int32 [K, L]: different from each other and from the existing ones.

    Raises:
      GenretError: codes out of range, or no suffix left for a new item (its row is named).

    >>> suffix_of_new([[3, 1], [3, 1]], [[3, 1, 0], [0, 2, 0]], [4, 4, 4]).tolist()
    [[3, 1, 1], [3, 1, 2]]
    """
    old, sizes = check_codes(existing, codes_per_level, "existing")
    new, _ = check_codes(codes, sizes[:-1])
    _, group = np.unique(np.concatenate([old[:, :-1], new]), axis=0, return_inverse=True)
    group = group.reshape(-1)
    # Past the largest suffix of the group, not the count: an item that left may leave a gap.
    first = np.zeros(int(group.max()) + 1, np.int32)
    np.maximum.at(first, group[: len(old)], old[:, -1] + 1)
    new_group = group[len(old) :]
    suffix = first[new_group] + _rank_in_group(new_group)
    if (suffix >= sizes[-1]).any():
        row = int(np.argmax(suffix >= sizes[-1]))
        raise GenretError(
            f"codes: row {row} {new[row].tolist()} needs the suffix {suffix[row]}, but the suffix "
            f"level has {sizes[-1]} codes; run `genret tokenize` again"
        )
    return np.concatenate([new, suffix[:, None]], axis=1)


def _rank_in_group(group: Int[np.ndarray, "N"]) -> Int[np.ndarray, "N"]:
    """Return how many rows before have the same group, int32."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[starts, len(group)])
    rank = np.empty(len(group), np.int32)
    rank[order] = np.arange(len(group)) - np.repeat(starts, lengths)
    return rank
