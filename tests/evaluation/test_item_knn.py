"""The item-kNN baseline against counting in plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret.errors import GenretError
from genret.evaluation import ItemKNN
from genret.histories import Histories

ITEMS = 6
HISTORIES = st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=6), max_size=6)


def slow(training, histories, k, neighbors, exclude_seen):
    had = [{u for u, own in enumerate(training) if i in own} for i in range(ITEMS)]
    popular = sorted(range(ITEMS), key=lambda i: (-len(had[i]), i))
    near = []
    for i in range(ITEMS):
        cosine = {
            j: np.float32(len(had[i] & had[j]) / math.sqrt(len(had[i]) * len(had[j])))
            for j in range(ITEMS)
            if j != i and had[i] & had[j]
        }
        best = sorted(cosine, key=lambda j: (-cosine[j], popular.index(j)))[:neighbors]
        near.append({j: cosine[j] for j in best})
    lists = []
    for own in histories:
        score = {j: sum(float(near[i].get(j, 0)) for i in set(own)) for j in range(ITEMS)}
        legal = [j for j in range(ITEMS) if not (exclude_seen and j in own)]
        # Sums of equal cosines in another order may differ in the last bit.
        legal.sort(key=lambda j: (-round(score[j], 5), popular.index(j)))
        lists.append((legal[:k] + [-1] * k)[:k])
    return lists


@given(HISTORIES, HISTORIES, st.integers(1, 8), st.integers(1, 6), st.booleans(), st.booleans())
def test_equals_the_slow_twin(training, histories, k, neighbors, exclude_seen, small) -> None:
    knn = ItemKNN.fit(Histories.from_lists(training), ITEMS, neighbors=neighbors)
    asked, cells = Histories.from_lists(histories), ITEMS if small else 1 << 24
    found = knn.recommend(asked, k=k, exclude_seen=exclude_seen, cells=cells)
    expected = slow(training, histories, k, neighbors, exclude_seen)
    assert found.shape == (len(histories), k)
    for row, own, want in zip(found.tolist(), histories, expected, strict=True):
        if row != want:  # only the order of scores that are equal but for rounding may differ
            scores = np.asarray(knn.similar[sorted(set(own))].sum(axis=0)).ravel()
            np.testing.assert_allclose(scores[row], scores[want], atol=1e-6)
            assert -1 not in row[: sum(i >= 0 for i in want)]


def test_bad_input() -> None:
    with pytest.raises(GenretError, match="neighbors: found 0"):
        ItemKNN.fit(Histories.from_lists([[0]]), 2, neighbors=0)


def test_no_training_event_ranks_by_row() -> None:
    knn = ItemKNN.fit(Histories.from_lists([]), 4)
    found = knn.recommend(Histories.from_lists([[0]]), k=3, exclude_seen=True)
    assert found.tolist() == [[1, 2, 3]]
