"""From an index and what is forbidden to what a search walks."""

from genret.decoding.beams import OneTrie, Searched
from genret.decoding.live import TwoTries
from genret.decoding.sharded import OnePart, own_part
from genret.index.filter import FilterStack
from genret.index.live import LiveIndex
from genret.index.parts import Parts
from genret.index.sharded import ShardedTrie
from genret.index.trie import Trie
from genret.index.trie_index import TrieIndex
from genret.typing import Array, Int

RowsOfTrie = Int[Array, "N"] | Parts[Array] | None
"""What a trie's ``row_of_item`` returns, whole or in parts."""

RowOfItem = RowsOfTrie | tuple[RowsOfTrie, Int[Array, "N2"] | None]
"""What an index's ``row_of_item`` is, in either kind of index."""


def searched_of(
    index: TrieIndex | LiveIndex,
    filters: FilterStack | None,
    filter_of: Int[Array, "B"] | None,
    exclude: Int[Array, "B X"] | None,
    row_of_item: RowOfItem,
) -> Searched:
    """Return what a search walks: the items of an index and what the requests may not be answered.

    Args:
      index: the index; one in parts inside of :func:`jax.shard_map`, where each device has its own.
      filters: the filters; None allows all items.
      filter_of: the filter of each request.
      exclude: item positions that a request must not be answered.
      row_of_item: of the index; needed where items are excluded.
    """
    first_rows, second_rows = row_of_item if isinstance(row_of_item, tuple) else (row_of_item, None)
    inserted, trie = None, trie_of(index)
    if isinstance(index, LiveIndex):
        inserted = index.inserted
        filters = index.allowed if filters is None else filters
    rows = None if filters is None else filters.rows
    first = own_part(trie, rows, filter_of, exclude, first_rows)
    own: OneTrie | TwoTries = first
    if inserted is not None:
        assert filters is not None
        # Positions go on from the first trie's.
        local = None if exclude is None else exclude - trie.num_rows
        second = inserted.restricted(filters.inserted, filter_of, local, second_rows)
        own = TwoTries(first=first, second=OneTrie(trie=inserted, restriction=second))
    return OnePart.of(own, trie) if isinstance(trie, ShardedTrie) else own


def trie_of(index: TrieIndex | LiveIndex) -> Trie | ShardedTrie:
    """Return the trie of an index that was built."""
    return index.trie if isinstance(index, TrieIndex) else index.base.trie
