"""The newest items and the histories without them, against plain Python."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret.data import SplitHistories, hold_out_items, leave_one_out, newest_items
from genret.errors import GenretError
from genret.histories import Histories

ITEMS = 6


@st.composite
def histories_of(draw) -> SplitHistories:
    lists = draw(st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=7), min_size=1, max_size=6))
    times = None
    if draw(st.booleans()):
        times = [sorted(draw(st.lists(st.integers(0, 9), min_size=len(own), max_size=len(own))))
                 for own in lists]  # fmt: skip
    events = Histories.from_lists(lists, times=times)
    split = leave_one_out(events)
    return SplitHistories(
        pa.array([str(u) for u in range(len(lists))]), events,
        train_end=split.train_end, valid_at=split.valid_at, test_at=split.test_at,
    )  # fmt: skip


@given(histories_of(), st.floats(0.01, 0.99))
def test_the_newest_items_are_those_that_begin_last(histories, fraction) -> None:
    events = histories.events
    times = range(events.num_events) if events.times is None else events.times.tolist()
    first: dict[int, int] = {}
    for item, time in zip(events.items.tolist(), times, strict=True):
        first[item] = min(time, first.get(item, time))
    count = max(1, round(fraction * len(first)))
    if count >= len(first):
        with pytest.raises(GenretError, match="takes all of the"):
            newest_items(histories, fraction)
        return
    items, rule = newest_items(histories, fraction)
    assert items.tolist() == sorted(sorted(first, key=lambda i: (-first[i], i))[:count])
    assert ("time of" in rule) == (events.times is not None)


@given(histories_of(), st.sets(st.integers(0, ITEMS - 1), min_size=1))
def test_no_event_at_or_after_a_new_item_is_learnt_from(histories, cold) -> None:
    without = hold_out_items(histories, np.array(sorted(cold)))
    without.check_leaks()
    questions = []
    for user, own in enumerate(histories.events.to_lists()):
        first = next((p for p, item in enumerate(own) if item in cold), None)
        until = len(own) if first is None else first
        assert without.train_end[user] == min(histories.train_end[user], until)
        kept = 0 <= histories.valid_at[user] < until
        assert without.valid_at[user] == (histories.valid_at[user] if kept else -1)
        if first:
            questions.append((user, own[:first], own[first]))
    held_out = without.held_out("test")
    found = zip(
        held_out.histories.users.tolist(),
        held_out.histories.to_lists(),
        held_out.targets.tolist(),
        strict=True,
    )
    assert list(found) == questions
    assert not set(without.training().items.tolist()) & cold


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 2.0])
def test_bad_fractions(fraction: float) -> None:
    none = np.array([-1], np.int32)
    histories = SplitHistories(
        pa.array(["a"]), Histories.from_lists([[0, 1]]),
        train_end=none, valid_at=none, test_at=none,
    )  # fmt: skip
    with pytest.raises(GenretError, match=f"fraction: found {fraction}"):
        newest_items(histories, fraction)
