"""Public test doubles and oracles: models that are tables, small catalogs, and slow, obvious twins."""

from genret.testing._catalogs import random_codes, tiny_catalog
from genret.testing._dict_trie import DictTrie
from genret.testing._oracles import (
    RankedItem,
    log_softmax,
    protocol_logits,
    rank_all_items,
    slow_beam_search,
)
from genret.testing._table_model import TableModel

__all__ = [
    "DictTrie",
    "RankedItem",
    "TableModel",
    "log_softmax",
    "protocol_logits",
    "random_codes",
    "rank_all_items",
    "slow_beam_search",
    "tiny_catalog",
]
