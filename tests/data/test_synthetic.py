"""Synthetic data: deterministic, of the size asked for, and learnable."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from genret.data import synthetic, synthetic_tables
from genret.errors import GenretError


@hypothesis.given(
    users=st.integers(1, 60),
    items=st.integers(2, 90),
    mean=st.floats(3, 12),
    seed=st.integers(0, 9),
)
def test_sizes_and_ranges(users: int, items: int, mean: float, seed: int) -> None:
    log, catalog = synthetic_tables(users, items, mean, seed=seed)
    user, item, time = (log[c].to_numpy() for c in ("user_id", "item_id", "timestamp"))
    lengths = np.bincount(user)[1:]
    assert len(lengths) == users
    assert lengths.min() >= 3
    assert lengths.max() <= max(3, 4 * mean)
    assert item.min() >= 1
    assert item.max() <= items
    assert (np.diff(time)[np.diff(user) == 0] > 0).all()
    assert catalog["item_id"].to_pylist() == list(range(1, items + 1))
    assert len(set(catalog["title"].to_pylist())) == items
    assert all(row["category"] in row["title"] for row in catalog.to_pylist())


def test_seeds() -> None:
    first, again, other = (synthetic_tables(50, 40, 6, seed=s) for s in (3, 3, 4))
    assert first[0].equals(again[0])
    assert first[1].equals(again[1])
    assert not first[0].equals(other[0])


def test_the_mean_is_near() -> None:
    log, _ = synthetic_tables(4000, 100, 12)
    assert log.num_rows / 4000 == pytest.approx(12, abs=0.6)


def test_the_next_item_can_be_learnt() -> None:
    """The commonest successor of an item, learnt from half of the users, beats popularity."""
    catalog, histories = synthetic(2000, 200, 15, seed=1)
    histories.check_leaks()
    assert catalog.num_items == 200
    inner = np.ones(len(histories.events.items), bool)
    inner[histories.events.offsets[:-1]] = False
    before, after = histories.events.items[:-1][inner[1:]], histories.events.items[1:][inner[1:]]
    half = len(before) // 2
    follows = np.zeros((200, 200), int)
    np.add.at(follows, (before[:half], after[:half]), 1)
    learnt = (follows.argmax(1)[before[half:]] == after[half:]).mean()
    popular = (np.bincount(after[:half]).argmax() == after[half:]).mean()
    assert learnt > 3 * popular


def test_users_move_between_categories() -> None:
    log, items = synthetic_tables(2000, 200, 15)
    category = np.array(items["category"].to_pylist())[log["item_id"].to_numpy() - 1]
    same_user = np.diff(log["user_id"].to_numpy()) == 0
    moved = (category[1:] != category[:-1])[same_user].mean()
    assert moved == pytest.approx(0.1, abs=0.01)


def test_popularity_falls() -> None:
    _, histories = synthetic(2000, 200, 15)
    counts = np.sort(np.bincount(histories.events.items, minlength=200))[::-1]
    # Counts of a uniform choice would give 1.2.
    assert counts[:20].sum() > 1.6 * counts[-100:-80].sum()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 5, 5), "num_users: found 0, expected at least 1"),
        ((5, 1, 5), "num_items: found 1, expected at least 2"),
        ((5, 5, 2.9), "mean_events: found 2.9, expected at least 3"),
        ((5, 5, float("nan")), "mean_events: found nan, expected at least 3"),
        ((5, 5, float("inf")), "mean_events: found inf, expected at least 3"),
    ],
)
def test_sizes_that_make_no_sense(sizes: tuple, message: str) -> None:
    with pytest.raises(GenretError, match=message):
        synthetic_tables(*sizes)
