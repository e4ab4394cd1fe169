"""Lists of all weights of what is fused with codes, against a search for each weight."""

import dataclasses

import numpy as np
import pytest

from genret.config import ItemDecoderConfig
from genret.errors import GenretError
from genret.histories import Histories
from genret.index import TrieIndex
from genret.models import Transitions, build_model
from genret.recommend import Recommender, lists_by_share

CONFIG = ItemDecoderConfig(
    codes_per_level=(5, 4), width=16, heads=2, kv_heads=2, head_dim=8, mlp_dim=24, layers=2,
    item_ids=True, num_items=18, max_items=4,
)  # fmt: skip


RNG = np.random.default_rng(0)
CODES = np.stack([RNG.integers(0, size, 18) for size in (5, 4)], axis=1).astype(np.int32)
INDEX = TrieIndex.from_codes(CODES, codes_per_level=(5, 4))
HISTORIES = Histories.from_lists([[3, 17, 3], [], [1, 2, 4, 5, 6, 7], [9], [0, 9]])
COUNTS = Transitions.fit(Histories.from_lists([RNG.integers(0, 18, 9) for _ in range(6)]), 18)
HEAD = {"dense_head": True, "dense_layers": 1, "dense_items": True}
SEARCH = {"max_items": 4, "k": 6, "beams": 18}


@pytest.mark.slow
@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize(
    "shares",
    [
        [(0.3, None), (0.7, None), (1.0, None)],
        [(0.3, 0.2), (0.7, 0.5), (0.5, 0.9), (1.0, 0.4)],
        [(None, 0.2), (None, 0.9)],
    ],
)
def test_equals_a_search_for_each_weight(
    shares: list[tuple[float | None, float | None]], exclude_seen: bool
) -> None:
    head = HEAD if shares[0][0] is not None else {}
    model = build_model(dataclasses.replace(CONFIG, normalize="catalog", **head), 0)
    counts = COUNTS if shares[0][1] is not None else None
    found = lists_by_share(
        model, INDEX, CODES, HISTORIES, shares,
        transitions=counts, exclude_seen=exclude_seen, users_per_batch=2, **SEARCH,
    )  # fmt: skip
    for (dense, counted), lists in zip(shares, found, strict=True):
        weighed = None if counts is None else dataclasses.replace(counts, share=counted)
        one = Recommender(model, INDEX, CODES, max_items=4, dense_share=dense, transitions=weighed)
        expected = one.recommend_many(HISTORIES, k=6, beams=18, exclude_seen=exclude_seen).items
        np.testing.assert_array_equal(lists, expected)


def test_weights_that_do_not_fit_are_refused() -> None:
    model = build_model(CONFIG, 0)
    for shares, counts in (([(0.5, None)], COUNTS), ([(None, None)], None), ([(None, 0.5)], None)):
        with pytest.raises(GenretError, match=r"shares: found \(.*\), expected the weight of a"):
            lists_by_share(
                model, INDEX, CODES, HISTORIES, shares,
                transitions=counts, exclude_seen=False, **SEARCH,
            )  # fmt: skip
