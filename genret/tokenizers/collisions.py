"""Items with equal codes: told apart by one more level, or left to share a leaf."""

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from genret.errors import GenretError
from genret.semantic_ids import SemanticIds
from genret.typing import Codes, Int


@dataclasses.dataclass(frozen=True)
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


def resolve_collisions(semantic_ids: SemanticIds, how: Literal["suffix", "keep"]) -> SemanticIds:
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
      semantic_ids: codes [N, L], without an end code.
      how: "suffix", or "keep" to return the semantic IDs as they are.

    Returns:
      The semantic IDs: codes [N, L + 1] (suffix; all rows differ) or [N, L] (keep).

    Raises:
      GenretError: another value of ``how``, or semantic IDs with an end code, which have no last
        level to tell items apart by.

    >>> ids = SemanticIds.from_codes([[3, 1], [0, 2], [3, 1]], codes_per_level=[4, 4])
    >>> found = resolve_collisions(ids, "suffix")
    >>> found.codes.tolist(), found.codes_per_level
    ([[3, 1, 0], [0, 2, 0], [3, 1, 1]], (4, 4, 2))
    """
    if how == "keep":
        return semantic_ids
    if how != "suffix":
        raise GenretError(f"collisions: found {how!r}, expected 'suffix' or 'keep'")
    if semantic_ids.end_code is not None:
        raise GenretError("collisions: found an end code, expected 'keep' with it")
    found = semantic_ids.codes
    _, group = np.unique(found, axis=0, return_inverse=True)
    suffix = _rank_in_group(group.reshape(-1))
    room = 1 << max(1, int(suffix.max()).bit_length())
    return dataclasses.replace(
        semantic_ids,
        codes=np.concatenate([found, suffix[:, None]], axis=1),
        codes_per_level=(*semantic_ids.codes_per_level, room),
    )


def suffix_of_new(
    codes: ArrayLike | SemanticIds, existing: SemanticIds, *, share_last: bool = False
) -> SemanticIds:
    """Append suffixes to the codes of new items, past those of the items that are there.

    Args:
      codes: codes of the new items without suffix, integers [K, L - 1].
      existing: semantic IDs of the catalog with suffix, codes [N, L].
      share_last: items for which no suffix is left share the last one, and with it a leaf.

    Returns:
      Codes [K, L], different from each other and from the existing ones but for the last suffixes
      that are shared; no item ids.

    Raises:
      GenretError: codes out of range, or no suffix left for a new item (its row is named) where
        none is shared.

    >>> known = SemanticIds.from_codes([[3, 1, 0], [0, 2, 0]], codes_per_level=[4, 4, 4])
    >>> suffix_of_new([[3, 1], [3, 1]], known).codes.tolist()
    [[3, 1, 1], [3, 1, 2]]
    """
    old, sizes = existing.codes, existing.codes_per_level
    new = SemanticIds.from_codes(codes, codes_per_level=sizes[:-1]).codes
    _, group = np.unique(np.concatenate([old[:, :-1], new]), axis=0, return_inverse=True)
    group = group.reshape(-1)
    # Past the largest suffix of the group, not the count: an item that left may leave a gap.
    first = np.zeros(int(group.max()) + 1, np.int32)
    np.maximum.at(first, group[: len(old)], old[:, -1] + 1)
    new_group = group[len(old) :]
    suffix = first[new_group] + _rank_in_group(new_group)
    if share_last:
        suffix = np.minimum(suffix, sizes[-1] - 1)
    elif (suffix >= sizes[-1]).any():
        row = int(np.argmax(suffix >= sizes[-1]))
        raise GenretError(
            f"codes: row {row} {new[row].tolist()} needs the suffix {suffix[row]}, but the suffix "
            f"level has {sizes[-1]} codes; run `genret tokenize` again"
        )
    return SemanticIds(codes=np.concatenate([new, suffix[:, None]], axis=1), codes_per_level=sizes)


def _rank_in_group(group: Int[np.ndarray, "N"]) -> Int[np.ndarray, "N"]:
    """Return how many rows before have the same group, int32."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[starts, len(group)])
    rank = np.empty(len(group), np.int32)
    rank[order] = np.arange(len(group)) - np.repeat(starts, lengths)
    return rank
