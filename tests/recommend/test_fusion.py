"""Fused searches and given items: what ranking every item by brute force answers."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.decoding import beam_search, score_items
from genret.errors import GenretError
from genret.index import FilterStack, ItemFilter, LiveIndex, TrieIndex
from genret.recommend import Channel, fused_search
from genret.testing import TableModel, random_codes, rank_all_items, slow_beam_search

COUNTS = ((6, 5), (24,))
CODES = (random_codes(24, COUNTS[0], "duplicates", seed=3), np.arange(24)[:, None])
INDICES = tuple(
    TrieIndex.from_codes(codes, codes_per_level=counts)
    for codes, counts in zip(CODES, COUNTS, strict=True)
)
HISTORY = jnp.arange(2, dtype=jnp.int32)


def channels_of(seed: int, mask: Any = None) -> list[Channel]:
    return [
        Channel(
            model=TableModel.random(counts, seed=seed + n),
            history=HISTORY,
            index=index,
            filters=None
            if mask is None
            else FilterStack.of(index, [ItemFilter.from_mask(index, mask)]),
        )
        for n, (counts, index) in enumerate(zip(COUNTS, INDICES, strict=True))
    ]


def slow_fused_search(
    channels: list[Channel], request: int, weights: Any, beams: int, fuse: str, allowed: list[int]
) -> list[tuple[int, float]]:
    """Rank what either channel's own search finds by the scores that it has in both."""
    found: set[int] = set()
    scores = []
    for channel, codes in zip(channels, CODES, strict=True):

        def logits_of(prefix: tuple, channel: Channel = channel) -> np.ndarray:
            return channel.model.logits_after(HISTORY, request, prefix)

        found |= {one.item for one in slow_beam_search(logits_of, codes, beams, allowed)}
        scores.append({one.item: one.score for one in rank_all_items(logits_of, codes, allowed)})
    fused = {}
    for item in found:
        own = np.array([score[item] for score in scores])
        fused[item] = (
            float((weights * own).sum())
            if fuse == "product"
            else float(np.log((weights * np.exp(own)).sum()))
        )
    return sorted(fused.items(), key=lambda pair: (-pair[1], pair[0]))


@settings(max_examples=15)
@given(
    seed=st.integers(0, 999),
    mask=st.lists(st.booleans(), min_size=24, max_size=24),
    seen=st.lists(st.integers(-1, 23), min_size=6, max_size=6),
    weight=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    fuse=st.sampled_from(["product", "mixture"]),
)
def test_equals_brute_force(seed: int, mask: Any, seen: Any, weight: float, fuse: Any) -> None:
    channels, weights = channels_of(seed, np.array(mask)), np.float32([weight, 1 - weight])
    exclude = jnp.asarray([seen[:3], seen[3:]], jnp.int32)
    asked = {"k": 9, "fuse": fuse, "exclude": exclude}
    few = fused_search(channels, jnp.asarray(weights), beams=4, **asked)
    every = fused_search(channels, jnp.asarray(weights), beams=4, exact=True, **asked)
    for request in range(2):
        excluded = seen[3 * request : 3 * request + 3]
        allowed = [item for item in range(24) if mask[item] and item not in excluded]
        for answer, beams in ((few, 4), (every, 24)):
            wanted = slow_fused_search(channels, request, weights, beams, fuse, allowed)[:9]
            scores = np.asarray(answer.scores[request])
            expected = np.full(9, -np.inf)
            expected[: len(wanted)] = [score for _, score in wanted]
            np.testing.assert_allclose(scores, expected, rtol=2e-5, atol=2e-5)
            items = np.asarray(answer.items[request]).tolist()
            assert items[len(wanted) :] == [-1] * (9 - len(wanted))
            of_score = dict(wanted)  # scores that are equal up to rounding may change places
            for item, score in zip(items, scores, strict=True):
                assert item < 0 or abs(of_score[item] - score) < 1e-4
            assert len(set(items) - {-1}) == len(wanted)


def changed(index: TrieIndex) -> LiveIndex:
    return LiveIndex(index, insert_capacity=3).insert([[5, 4], [0, 0]]).remove([2])


RAGGED = np.array([[3, 1, 4], [3, 4, 4], [2, 4, 4], [0, 2, 1], [3, 1, 0], [1, 4, 4]])


@pytest.mark.parametrize("normalize", ["level", "catalog", "legal"])
@pytest.mark.parametrize(
    "index",
    [
        INDICES[0],
        pytest.param(TrieIndex.from_codes(RAGGED, end_code=4), marks=pytest.mark.slow),
        pytest.param(changed(INDICES[0]), marks=pytest.mark.slow),
    ],
)
def test_given_items_have_the_scores_of_a_search(index: Any, normalize: str) -> None:
    size = index.num_items
    model = TableModel.random(index.codes_per_level, seed=5)
    limits: dict[str, Any] = {
        "filters": [ItemFilter.from_mask(index, np.arange(size) % 3 > 0)],
        "exclude": [[1, -1], [4, 5]],
        "normalize": normalize,
    }
    items = np.random.default_rng(0).permuted(np.tile(np.arange(-1, size), (2, 1)), axis=1)
    found = np.asarray(score_items(model, HISTORY, index, jnp.asarray(items, jnp.int32), **limits))
    wide = beam_search(model, HISTORY, index, beams=size, **limits)  # prunes nothing
    for request in range(2):
        expected = np.full(size + 1, -np.inf)
        expected[np.asarray(wide.items[request])] = np.asarray(wide.scores[request])
        np.testing.assert_allclose(found[request], expected[items[request]], rtol=2e-5, atol=2e-5)


def test_bad_arguments_are_refused() -> None:
    channels, two = channels_of(0), jnp.ones(2)
    with pytest.raises(GenretError, match=r"weights: found \(3,\) for 2 channels, expected one"):
        fused_search(channels, jnp.ones(3), k=1, beams=2)
    with pytest.raises(GenretError, match="fuse: found 'sum', expected one of product, mixture"):
        fused_search(channels, two, k=1, beams=2, fuse="sum")
    with pytest.raises(GenretError, match="normalize: found 'all'"):
        score_items(
            channels[0].model, HISTORY, INDICES[0], jnp.zeros((2, 1), jnp.int32), normalize="all"
        )
