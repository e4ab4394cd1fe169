"""Codes to a constraint index: which codes may follow which, and which items lie below.

Needs nothing but an integer array: it knows no tokenizer, no model and no catalog. The modules
``bits``, ``segment`` and ``allowed`` are what searches read; the others are private.
"""

# The index
# Who may be recommended
from genret.index._filter import FilterStack, ItemFilter
from genret.index._index import TrieIndex

# The slow, obvious twin
from genret.index._trie import DictTrie

__all__ = ["DictTrie", "FilterStack", "ItemFilter", "TrieIndex"]
