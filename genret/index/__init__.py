"""Codes to a constraint index: which codes may follow which, and which items lie below.

Needs nothing but an integer array: it knows no tokenizer, no model and no catalog. Users need the
names below; the modules are what searches read.
"""

# The index
# Who may be recommended
from genret.index.filter import FilterStack, ItemFilter
from genret.index.layout import LayoutRules

# For loops that are not ours
from genret.index.legal import legal_codes

# A catalog that changes
from genret.index.live import LiveIndex
from genret.index.trie_index import TrieIndex

__all__ = ["FilterStack", "ItemFilter", "LayoutRules", "LiveIndex", "TrieIndex", "legal_codes"]
