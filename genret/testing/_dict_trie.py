"""The oracle trie: a dictionary of prefixes. Slow and obvious; tests hold the index against it."""

from collections.abc import Iterable
from typing import Any

Prefix = tuple[int, ...]


class DictTrie:
    """All prefixes of a set of semantic IDs, each with its next codes and the items below it.

    Args:
      codes: integers [N, L], one row an item; duplicates allowed.
      allowed: positions of the items to keep; None keeps all.

    >>> trie = DictTrie([[3, 1], [0, 2], [3, 0], [0, 2]])
    >>> trie.children(()), trie.children((3,)), trie.items((0,))
    ([0, 3], [0, 1], [1, 3])
    """

    def __init__(self, codes: Any, allowed: Iterable[int] | None = None) -> None:
        rows = [tuple(int(c) for c in row) for row in codes]
        keep = set(range(len(rows))) if allowed is None else set(allowed)
        self.depth = len(rows[0])
        self._items: dict[Prefix, list[int]] = {(): []}
        self._children: dict[Prefix, set[int]] = {}
        # Items in the order of the index: by semantic ID, then by position.
        for position in sorted(keep, key=lambda p: (rows[p], p)):
            for length in range(self.depth + 1):
                prefix = rows[position][:length]
                self._items.setdefault(prefix, []).append(position)
                if length < self.depth:
                    self._children.setdefault(prefix, set()).add(rows[position][length])

    def prefixes(self, length: int) -> list[Prefix]:
        """Return the prefixes of a length, sorted: the nodes of that level."""
        return sorted(p for p in self._items if len(p) == length and self._items[p])

    def children(self, prefix: Prefix) -> list[int]:
        """Return the codes that may follow a prefix, ascending."""
        return sorted(self._children.get(prefix, ()))

    def items(self, prefix: Prefix) -> list[int]:
        """Return the positions of the items below a prefix, by semantic ID and then position."""
        return self._items.get(prefix, [])
