"""Parts of the users: each user in one, equal numbers together, about equal sizes."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret.evaluation import ndcg, recall
from genret.evaluation._slices import slices


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1), st.integers(1, 3))
def test_parts_are_apart_and_measured_alone(users, k) -> None:
    values, ranks = (np.array(column) for column in zip(*users, strict=True))
    parts = slices(values, ranks, k, resamples=0, seed=0)
    assert sum(part["users"] for part in parts) == len(users)
    assert 1 <= len(parts) <= 4
    for before, after in itertools.pairwise(parts):
        assert before["to"] < after["from"]
    for part in parts:
        inside = (values >= part["from"]) & (values <= part["to"])
        assert part["users"] == inside.sum() > 0
        assert part[f"recall@{k}"] == recall(ranks[inside], k).mean()
        assert part[f"ndcg@{k}"] == ndcg(ranks[inside], k).mean()


def test_distinct_numbers_give_four_equal_parts_with_intervals() -> None:
    values = np.random.default_rng(0).permutation(100)
    parts = slices(values, np.ones(100, int), 5, resamples=20, seed=0)
    assert [part["users"] for part in parts] == [25] * 4
    assert [(part["from"], part["to"]) for part in parts] == [
        (0, 24), (25, 49), (50, 74), (75, 99),
    ]  # fmt: skip
    assert all(part["intervals"]["recall@5"] == [1.0, 1.0] for part in parts)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_number_that_most_users_have_makes_one_part(share: float) -> None:
    values = np.where(np.arange(100) < 100 * share, 0, 1 + np.arange(100))
    parts = slices(values, np.zeros(100, int), 5, resamples=0, seed=0)
    assert parts[0]["from"] == parts[0]["to"] == 0
    assert parts[0]["users"] == round(100 * share)
