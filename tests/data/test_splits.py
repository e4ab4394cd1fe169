"""Splits against slow twins, and a leak check that finds every leak that is injected."""

import dataclasses
from typing import Any

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from genret.data import SplitHistories, by_time, leave_one_out
from genret.errors import GenretError
from genret.histories import Histories, offsets_of

LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=8)


def events_of(lengths: list[int], times: np.ndarray | None = None) -> Histories:
    offsets = offsets_of(np.array(lengths))
    return Histories(offsets=offsets, items=np.arange(offsets[-1]), times=times)


def histories_of(lengths: list[int], times: np.ndarray | None, split: Any) -> SplitHistories:
    events = events_of(lengths, times)
    parts = by_time(events, 0.2, 0.2) if split == "by-time" else leave_one_out(events)
    users = pa.array([f"u{k}" for k in range(len(lengths))])
    return SplitHistories(users, events, **vars(parts), split=split)


@hypothesis.given(lengths=LENGTHS)
def test_leave_one_out(lengths: list[int]) -> None:
    split = leave_one_out(events_of(lengths))
    for n, *found in zip(lengths, split.train_end, split.valid_at, split.test_at, strict=True):
        events = list(range(n))
        test = events.pop() if n >= 3 else -1
        valid = events.pop() if n >= 3 else -1
        assert found == [len(events), valid, test]


@hypothesis.given(
    lengths=LENGTHS,
    seed=st.integers(0, 99),
    most=st.sampled_from([3, 10, 10**15]),
    valid=st.sampled_from([0.01, 0.1, 0.3, 0.49]),
    test=st.sampled_from([0.01, 0.1, 0.3, 0.49]),
)
def test_by_time(lengths: list[int], seed: int, most: int, valid: float, test: float) -> None:
    rng = np.random.default_rng(seed)
    histories = [sorted(rng.integers(0, most, n).tolist()) for n in lengths]
    times = np.array([t for h in histories for t in h])
    ordered, n = sorted(times.tolist()), len(times)
    first_valid = ordered[min(n - 1, round(n * (1 - valid - test)))]
    first_test = ordered[min(n - 1, round(n * (1 - test)))]
    if first_valid in (ordered[0], first_test):  # a part would be empty
        with pytest.raises(GenretError, match="cannot be cut"):
            by_time(events_of(lengths, times), valid, test)
        return
    split = by_time(events_of(lengths, times), valid, test)
    parts: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    for h, end, v, t in zip(histories, split.train_end, split.valid_at, split.test_at, strict=True):
        parts["train"] += h[:end]
        # All from a held-out event on, to the next part, is of its part.
        last = len(h) if t < 0 else t
        parts["valid"] += h[v:last] if v >= 0 else []
        parts["test"] += h[last:]
        assert end == (v if v >= 0 else last)
    assert sum(map(len, parts.values())) == len(times)
    assert all(parts.values())
    assert max(parts["train"]) < min(parts["valid"])
    assert max(parts["valid"]) < min(parts["test"])
    # No cut is later than the shares say, beyond the ties and the newest event itself.
    assert len(parts["test"]) >= round(len(times) * test - 0.5)
    assert len(parts["test"]) + len(parts["valid"]) >= round(len(times) * (valid + test) - 0.5)


@pytest.mark.parametrize("times", [[5, 5, 5, 5], [1, 9, 9, 9], [1, 1, 1, 9], [7]])
def test_too_many_equal_times(times: list[int]) -> None:
    with pytest.raises(GenretError, match=rf"the {len(times)} events cannot be cut into training"):
        by_time(events_of([len(times)], np.array(times)), 0.2, 0.2)


TIMES = np.array([10, 20, 30, 40, 50, 5, 15, 35, 45, 60, 12]) * 10**6
SAFE = {
    "leave-one-out": histories_of([5, 5, 1], TIMES, "leave-one-out"),
    "by-time": histories_of([5, 5, 1], TIMES, "by-time"),
}


def with_value(histories: SplitHistories, field: str, at: int, value: int) -> SplitHistories:
    values = getattr(histories.events if field == "times" else histories, field).copy()
    values[at] = value
    if field == "times":
        return dataclasses.replace(
            histories, events=dataclasses.replace(histories.events, times=values)
        )
    return dataclasses.replace(histories, **{field: values})


@pytest.mark.parametrize("split", SAFE)
def test_safe_histories_pass(split: str) -> None:
    SAFE[split].check_leaks()
    events = dataclasses.replace(SAFE[split].events, times=None)
    dataclasses.replace(SAFE[split], events=events).check_leaks()


@pytest.mark.parametrize(
    ("split", "field", "at", "value", "message"),
    [
        ("leave-one-out", "train_end", 1, 4, "user 'u1' has its validation event among training"),
        ("leave-one-out", "train_end", 0, 5, "user 'u0' has its validation event among training"),
        ("leave-one-out", "train_end", 2, 2, "user 'u2' trains on events that it lacks"),
        ("leave-one-out", "train_end", 2, -1, "user 'u2' trains on events that it lacks"),
        ("leave-one-out", "test_at", 1, 2, "user 'u1' has its test event among training events"),
        ("leave-one-out", "test_at", 1, 3, "user 'u1' has its test event in the history of its"),
        ("leave-one-out", "test_at", 1, 5, "user 'u1' has a test event beyond its history"),
        ("leave-one-out", "valid_at", 0, 4, "user 'u0' has its test event in the history of its"),
        ("leave-one-out", "valid_at", 0, -2, "user 'u0' has a validation event beyond its history"),
        ("leave-one-out", "times", 3, 1, "user 'u0' has events out of time order"),
        ("leave-one-out", "times", 6, 1, "user 'u1' has events out of time order"),
        ("by-time", "times", 6, 1, "user 'u1' has events out of time order"),
    ],
)
def test_an_injected_leak_fails(split: str, field: str, at: int, value: int, message: str) -> None:
    with pytest.raises(GenretError, match=f"^leak: {message}"):
        with_value(SAFE[split], field, at, value).check_leaks()


def test_leaks_between_users_fail() -> None:
    safe, second = SAFE["by-time"], 10**6
    # Training up to 35, validation at 40 (u0) and 45 (u1), test at 50 (u0) and 60 (u1).
    assert safe.valid_at.tolist() == [3, 3, -1]
    assert safe.test_at.tolist() == [4, 4, -1]
    late = with_value(safe, "times", 7, 42 * second)
    with pytest.raises(GenretError, match="leak: user 'u0' has a validation event in train time"):
        late.check_leaks()
    with pytest.raises(GenretError, match="leak: user 'u0' has a validation event in train time"):
        with_value(safe, "times", 7, 40 * second).check_leaks()  # at the same moment
    dataclasses.replace(late, split="leave-one-out").check_leaks()
    none = dataclasses.replace(safe, valid_at=np.full(3, -1, np.int32))
    none.check_leaks()
    with pytest.raises(GenretError, match=r"'u0' has a test event in training time \(and 1 more"):
        with_value(none, "times", 10, 60 * second).check_leaks()
    with pytest.raises(GenretError, match="leak: user 'u0' has a test event in validation time"):
        with_value(safe, "times", 8, 50 * second).check_leaks()


def test_by_time_needs_times() -> None:
    with pytest.raises(GenretError, match="split by-time: the events have no times"):
        by_time(events_of([3]), 0.2, 0.2)
