"""Lists of all weights of a dense head, against a search for each weight."""

import dataclasses

import numpy as np
import pytest

from genret.config import ItemDecoderConfig
from genret.histories import Histories
from genret.index import TrieIndex
from genret.models import build_model
from genret.recommend import Recommender, lists_by_share

CONFIG = ItemDecoderConfig(
    codes_per_level=(5, 4), width=16, heads=2, kv_heads=2, head_dim=8, mlp_dim=24, layers=2,
    item_ids=True, num_items=18, max_items=4, dense_head=True, dense_layers=1, dense_items=True,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("exclude_seen", [False, True])
def test_equals_a_search_for_each_weight(exclude_seen: bool) -> None:
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(0, size, 18) for size in (5, 4)], axis=1).astype(np.int32)
    index = TrieIndex.from_codes(codes, codes_per_level=(5, 4))
    model = build_model(dataclasses.replace(CONFIG, normalize="catalog"), 0)
    histories = Histories.from_lists([[3, 17, 3], [], [1, 2, 4, 5, 6, 7], [9], [0, 9]])
    shares = (0.3, 0.7, 1.0)
    found = lists_by_share(
        model, index, codes, histories, shares,
        max_items=4, k=6, beams=18, exclude_seen=exclude_seen, users_per_batch=2,
    )  # fmt: skip
    for share, lists in zip(shares, found, strict=True):
        one = Recommender(model, index, codes, max_items=4, dense_share=share)
        expected = one.recommend_many(histories, k=6, beams=18, exclude_seen=exclude_seen).items
        np.testing.assert_array_equal(lists, expected)
