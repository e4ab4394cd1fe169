"""Public test doubles and oracles: models that are tables, small catalogs, and slow, obvious twins."""

from genret.testing._catalogs import random_codes, tiny_catalog
from genret.testing._dict_trie import DictTrie
from genret.testing._given_logits import GivenLogits, exact_logits
from genret.testing._oracles import (
    RankedItem,
    log_softmax,
    protocol_logits,
    rank_all_items,
    slow_beam_search,
)
from genret.testing._random_tries import FAMILIES, Family, count_invalid
from genret.testing._sorted_catalog import (
    Answer,
    RowBeams,
    SortedCatalog,
    check_answer,
    expected_answers,
    given,
)
from genret.testing._table_model import TableModel

__all__ = [
    "FAMILIES",
    "Answer",
    "DictTrie",
    "Family",
    "GivenLogits",
    "RankedItem",
    "RowBeams",
    "SortedCatalog",
    "TableModel",
    "check_answer",
    "count_invalid",
    "exact_logits",
    "expected_answers",
    "given",
    "log_softmax",
    "protocol_logits",
    "random_codes",
    "rank_all_items",
    "slow_beam_search",
    "tiny_catalog",
]
