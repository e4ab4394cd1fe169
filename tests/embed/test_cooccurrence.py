"""Co-occurrence vectors against dense, slow twins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret.embed import cooccurrence_vectors
from genret.embed._cooccurrence import count_pairs, positive_pmi
from genret.errors import GenretError
from genret.histories import Histories

HISTORIES = st.lists(st.lists(st.integers(0, 7), max_size=9), max_size=6)


def slow_counts(histories: list[list[int]], num_items: int, window: int) -> np.ndarray:
    counts = np.zeros((num_items, num_items))
    for history in histories:
        for a in range(len(history)):
            for b in range(len(history)):
                if 0 < abs(a - b) <= window and history[a] != history[b]:
                    counts[history[a], history[b]] += 1
    return counts


def slow_pmi(counts: np.ndarray) -> np.ndarray:
    pmi = np.zeros_like(counts)
    seen = counts.sum(axis=1)
    for i, j in np.argwhere(counts > 0):
        context = seen[j] ** 0.75 / (seen**0.75).sum()
        pmi[i, j] = max(0, np.log(counts[i, j] / (seen[i] * context)))
    return pmi


@given(HISTORIES, st.integers(1, 12), st.sampled_from([3, 4_000_000]))
def test_counts_and_pmi_equal_the_slow_twin(
    histories: list[list[int]], window: int, events: int
) -> None:
    counts = count_pairs(Histories.from_lists(histories), 8, window, events_at_once=events)
    expected = slow_counts(histories, 8, window)
    np.testing.assert_array_equal(counts.toarray(), expected)
    np.testing.assert_allclose(positive_pmi(counts).toarray(), slow_pmi(expected), atol=1e-5)


def test_vectors_equal_a_dense_decomposition() -> None:
    rng = np.random.default_rng(0)
    # Two worlds of items that never mix.
    histories = [(rng.integers(0, 10, 8) + 10 * (user % 2)).tolist() for user in range(60)]
    found = cooccurrence_vectors(Histories.from_lists(histories), 21, 6, window=3, seed=1)
    left, values, _ = np.linalg.svd(slow_pmi(slow_counts(histories, 21, 3)))
    expected = left[:, :6] * np.sqrt(values[None, :6])
    norms = np.linalg.norm(expected, axis=1, keepdims=True)
    expected = np.where(norms > 1e-9, expected / np.maximum(norms, 1e-9), 0)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=5e-3)
    assert not found[20].any()  # never seen
    similar = found @ found.T
    assert similar[:10, :10].mean() > similar[:10, 10:20].mean() + 0.1


def test_equal_seeds_give_equal_bytes() -> None:
    histories = [list(range(a, a + 6)) for a in range(20)]
    first, second = (
        cooccurrence_vectors(Histories.from_lists(histories), 30, 8, window=2, seed=4)
        for _ in range(2)
    )
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("histories", [[], [[]], [[3]], [[3, 3, 3]], [[1], [2]]])
def test_nothing_together_gives_zeros(histories: list[list[int]]) -> None:
    vectors = cooccurrence_vectors(Histories.from_lists(histories), 5, 4, window=10, seed=0)
    assert vectors.shape == (5, 4)
    assert not vectors.any()


@pytest.mark.parametrize(
    ("items", "message"),
    [([0, 9], "items: entry 1 is 9, expected 0 to 4"), ([-1, 0], "items: entry 0 is -1")],
)
def test_items_out_of_range_are_refused(items: list[int], message: str) -> None:
    with pytest.raises(GenretError, match=message):
        cooccurrence_vectors(Histories.from_lists([items]), 5, 2, window=2, seed=0)
