"""Filters from conditions on the columns of the catalog."""

from collections.abc import Sequence

import numpy as np

from genret.config import require
from genret.data import Catalog, where
from genret.index import ItemFilter, LiveIndex, TrieIndex


def filter_where(expression: str, catalog: Catalog, index: TrieIndex | LiveIndex) -> ItemFilter:
    """Return the filter that allows the items of a catalog that meet a condition.

    Raises:
      GenretError: a condition that cannot be used, or an index of other items, or in other order.
    """
    mask = where(catalog, expression)
    check_order(catalog, index)
    return ItemFilter.from_mask(index, mask)


def check_order(catalog: Catalog, index: TrieIndex | LiveIndex) -> None:
    """Raise GenretError unless an item's position in the index is its row in the catalog."""
    ids = index.ids_of(np.arange(index.num_items))
    require(
        ids.tolist() == catalog.item_ids.tolist(),
        "filter: found other items in the index, or another order, than in the catalog, "
        "expected the same",
    )


def all_of(filters: Sequence[ItemFilter]) -> ItemFilter:
    """Return the filter of what all of some filters allow."""
    first, *rest = filters
    for other in rest:
        first = first & other
    return first
