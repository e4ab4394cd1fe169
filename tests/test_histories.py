"""Histories against plain lists of Python integers."""

from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret import histories as module
from genret.errors import GenretError
from genret.histories import Histories

ITEMS = 9
LISTS = st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=8), max_size=6)


def full(lists: list[list[int]]) -> Histories:
    """Return histories with times and users; an event's time says which it is."""
    numbers = iter(range(10**6))
    return Histories.from_lists(
        lists,
        times=[[next(numbers) for _ in own] for own in lists],
        users=[100 + row for row in range(len(lists))],
    )


def assert_parts(found: Histories, whole: Histories, rows: list[int], cut: Any) -> None:
    """Assert that ``found`` holds the given rows, each cut by a function of lists."""
    lists, times = whole.to_lists(), np.split(whole.times, whole.offsets[1:-1])
    assert found.to_lists() == [cut(lists[row]) for row in rows]
    expected = [t for row in rows for t in cut(times[row].tolist())]
    assert found.times.tolist() == expected
    assert found.users.tolist() == [100 + row for row in rows]


@given(LISTS, st.data())
def test_parts_equal_those_of_lists(lists: list[list[int]], data: Any) -> None:
    whole, count = full(lists), len(lists)
    assert len(whole) == count
    assert whole.to_lists() == lists
    assert whole.lengths.tolist() == [len(own) for own in lists]
    assert whole.owners.tolist() == [row for row, own in enumerate(lists) for _ in own]
    every = list(range(count))
    rows = data.draw(st.lists(st.sampled_from(every), max_size=8)) if count else []
    assert_parts(whole.take(np.array(rows, np.int64)), whole, rows, list)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), bool)
    assert_parts(whole.take(mask), whole, np.flatnonzero(mask).tolist(), list)
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    assert_parts(whole.slice(start, stop), whole, every[start:stop], list)
    n = data.draw(st.integers(0, 9))
    assert_parts(whole.first(n), whole, every, lambda own: own[:n])
    assert_parts(whole.last(n), whole, every, lambda own: own[max(0, len(own) - n) :])


@given(LISTS, st.integers(0, 9))
def test_events_of_each_user_may_be_counted_apart(lists: list[list[int]], seed: int) -> None:
    counts = np.random.default_rng(seed).integers(0, 9, len(lists))
    found = Histories.from_lists(lists).first(counts)
    assert found.to_lists() == [own[:n] for own, n in zip(lists, counts, strict=True)]


@given(LISTS, st.integers(1, 9), st.integers(-2, 2))
def test_rectangles_equal_loops(lists: list[list[int]], width: int, fill: int) -> None:
    whole = full(lists)
    padded = whole.padded(width, fill)
    assert padded.shape == (len(lists), width)
    times = whole.spread(whole.times, width, fill)
    ends = whole.offsets[1:]
    for row, own in enumerate(lists):
        kept = own[-width:]
        assert padded[row].tolist() == kept + [fill] * (width - len(kept))
        newest = list(range(ends[row] - len(kept), ends[row]))
        assert times[row].tolist() == newest + [fill] * (width - len(kept))


@given(LISTS, st.integers(0, 4), st.lists(st.integers(-1, ITEMS + 2), min_size=1, max_size=4))
def test_sets_equal_those_of_python(lists: list[list[int]], more: int, asked: list[int]) -> None:
    whole = full(lists)
    distinct = whole.distinct()
    assert distinct.to_lists() == [sorted(set(own)) for own in lists]
    assert distinct.users.tolist() == whole.users.tolist()
    found = whole.contains(np.array([asked] * len(lists), np.int64).reshape(-1, len(asked)))
    assert found.tolist() == [[item in own for item in asked] for own in lists]
    filled = whole.filled_up(len(lists) + more)
    assert filled.to_lists() == lists + [[]] * more
    assert filled.users.tolist() == whole.users.tolist() + [-1] * more
    assert whole.filled_up(0).to_lists() == lists


@given(LISTS)
def test_exclusions_are_the_distinct_items_padded(lists: list[list[int]]) -> None:
    found = Histories.from_lists(lists).exclusions()
    assert found.shape == (len(lists), 16)
    for row, own in zip(found.tolist(), lists, strict=True):
        assert row == (sorted(set(own)) + [-1] * 16)[:16]


@pytest.mark.parametrize(("longest", "width"), [(16, 16), (17, 64), (65, 256), (0, 16)])
def test_widths_of_exclusions_are_few(longest: int, width: int) -> None:
    assert Histories.from_lists([range(longest), []]).exclusions().shape == (2, width)


def test_too_many_items_to_exclude_are_refused() -> None:
    with pytest.raises(GenretError, match="a history has 3 distinct ones, at most 2"):
        Histories.from_lists([[5, 6, 7]]).exclusions(2)


def of(offsets: Any, items: Any, **columns: Any) -> Histories:
    return Histories(
        offsets=np.asarray(offsets), items=np.asarray(items),
        **{name: np.asarray(values) for name, values in columns.items()},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: of([0, 3], [1, 2]), "offsets: expected rising numbers from 0 to .*items, 2"),
        (lambda: of([1, 2], [1, 2]), "offsets: expected rising"),
        (lambda: of(np.zeros(0, int), [1]), "offsets: expected rising"),
        (lambda: of([0, 2, 1, 2], [1, 2]), "offsets: entry 2 is 1, expected at least .*, 2"),
        (lambda: Histories.from_lists([[1], [1.5]]), r"items\[1\]: found float64 of shape \(1,\)"),
        (lambda: of([0, 1], [2**40]), f"items: found {2**40}, expected integers of 32 bits"),
        (lambda: of([0, 1], [1], users=[1, 2]), "users: found 2, expected one a history, 1"),
        (lambda: Histories.from_lists([[1], ["a"]]), r"items\[1\]: found <U1"),
        (lambda: Histories.from_lists([[1]], times=[[1, 2]]), "times: found lists of other len"),
        (lambda: of([0, 1], [-3]).distinct(), "items: found -3, expected item positions from 0"),
        (lambda: of([0, 2], [0, 5]).check_items(5), "items: entry 1 is 5, expected 0 to 4"),
    ],
)  # fmt: skip
def test_bad_input_is_named(make: Any, message: str) -> None:
    with pytest.raises(GenretError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_many_events_are_looked_at_block_by_block() -> None:
    items = np.random.default_rng(0).integers(0, 9, 50)
    with mock.patch.object(module, "_BLOCK", 7):
        many = of([0, 20, 50], items)
        np.testing.assert_array_equal(many.item_counts(11), np.bincount(items, minlength=11))
        first = int(np.argmax(items == 8))
        with pytest.raises(GenretError, match=f"items: entry {first} is 8, expected 0 to 7"):
            many.check_items(8)
        many.check_items(9)


def test_a_user_out_of_range() -> None:
    with pytest.raises(IndexError, match="user 2 of 2"):
        Histories.from_lists([[1], [2]])[2]
