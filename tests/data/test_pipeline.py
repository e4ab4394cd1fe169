"""Training batches: every event once per epoch, rows well formed, state exact."""

from typing import Any
from unittest import mock

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from genret.config import TrainConfig
from genret.data import bucket_gaps, pipeline
from genret.data.pipeline import TrainingBatches, padding_waste
from genret.errors import GenretError
from genret.histories import Histories, offsets_of

PACKINGS = ("pack", "bucket", "pad")


WINDOWS = (pipeline.WINDOW_EVENTS, 40, 7)
"""Events of a window: one window, some, and fewer than many a history has."""


def dataset(
    lengths: list[int],
    packing: str,
    batch_size: int,
    max_items: int,
    seed: int,
    window: int = WINDOWS[0],
    **options: Any,
) -> TrainingBatches:
    config = TrainConfig(batch_size=batch_size, packing=packing)
    options |= {"max_items": max_items, "seed": seed}
    with mock.patch.object(pipeline, "WINDOW_EVENTS", window):
        return TrainingBatches(numbered(lengths), config, **options)


def numbered(lengths: list[int], times: Any = None, users: Any = None) -> Histories:
    """Return histories whose events are numbered 0, 1, 2, …"""
    offsets = offsets_of(np.array(lengths))
    return Histories(offsets=offsets, items=np.arange(offsets[-1]), times=times, users=users)


@hypothesis.given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=20).filter(sum),
    packing=st.sampled_from(PACKINGS),
    batch_size=st.integers(1, 5),
    max_items=st.integers(1, 12),
    seed=st.integers(0, 3),
    window=st.sampled_from(WINDOWS),
)
def test_every_event_is_a_target_once_per_epoch(
    lengths, packing, batch_size, max_items, seed, window
) -> None:
    offsets = offsets_of(np.array(lengths))
    stream = iter(dataset(lengths, packing, batch_size, max_items, seed, window))
    for epoch in range(2):
        seen = []
        while stream.get_state()["epoch"] == epoch:
            batch = next(stream)
            assert batch["items"].shape[1] <= max_items + 1
            for items, segments, positions in zip(*batch.values(), strict=True):
                assert ((items < 0) == (segments == 0)).all()
                for segment in range(1, segments.max() + 1):
                    own = np.flatnonzero(segments == segment)
                    # A segment is one run of neighboring events of one history, from position 0.
                    np.testing.assert_array_equal(own, own[0] + np.arange(len(own)))
                    np.testing.assert_array_equal(items[own], items[own[0]] + np.arange(len(own)))
                    np.testing.assert_array_equal(positions[own], np.arange(len(own)))
                    ends = np.searchsorted(offsets, items[own], side="right")
                    assert len(set(ends.tolist())) == 1
                    seen.extend(items[own].tolist())
        assert sorted(seen) == list(range(offsets[-1]))


@hypothesis.given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=20).filter(sum),
    packing=st.sampled_from(PACKINGS),
    processes=st.integers(1, 4),
    rows=st.integers(1, 3),
    seed=st.integers(0, 3),
    window=st.sampled_from(WINDOWS),
)
def test_processes_lay_out_the_batches_of_one(
    lengths, packing, processes, rows, seed, window
) -> None:
    options = (lengths, packing, processes * rows, 7, seed, window)
    alone = iter(dataset(*options))
    streams = [
        iter(dataset(*options, multiple_of=processes, own_rows=(number, number + 1, processes)))
        for number in range(processes)
    ]
    for _ in range(6):
        expected, parts = next(alone), [next(stream) for stream in streams]
        for name, value in expected.items():
            found = np.concatenate([part[name] for part in parts])
            assert len({len(part[name]) for part in parts}) == 1
            np.testing.assert_array_equal(found[: len(value)], value)
            assert (found[len(value) :] == (-1 if name == "items" else 0)).all()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("packing", PACKINGS)
def test_state_restores_the_stream_anywhere(packing: str, window: int) -> None:
    data = dataset([3, 30, 1, 0, 12, 7, 7], packing, 2, 5, 0, window)
    stream = iter(data)
    states, batches = [], []
    for _ in range(25):
        states.append(stream.get_state())
        batches.append(next(stream))
    for i in (0, 1, 7, 20):
        again = iter(data)
        again.set_state(states[i])
        for expected in batches[i : i + 5]:
            for name, value in next(again).items():
                np.testing.assert_array_equal(value, expected[name])


def test_epochs_and_seeds_differ() -> None:
    first = iter(dataset([40, 40, 40], "pack", 1, 9, 0))
    other = iter(dataset([40, 40, 40], "pack", 1, 9, 1))
    assert not np.array_equal(next(first)["items"], next(other)["items"])
    again = iter(dataset([40, 40, 40], "pack", 1, 9, 0))
    again.set_state({"epoch": 1, "batch": 0})
    start = iter(dataset([40, 40, 40], "pack", 1, 9, 0))
    assert not np.array_equal(next(again)["items"], next(start)["items"])


def test_windows_take_all_users_in_a_new_order_each_epoch() -> None:
    lengths = [2, 0, 3, 1, 0, 4, 2]
    data = dataset(lengths, "pack", 1, 5, 0, window=4)
    assert data.windows == 3
    orders = [data.order(epoch).tolist() for epoch in range(3)]
    assert all(sorted(order) == [0, 2, 3, 5, 6] for order in orders)  # those with events
    assert len({tuple(order) for order in orders}) > 1
    taken = [
        sorted(
            {int(user) for rows in data.window(1, n, data.order(1)) for user in rows.chunks[:, 2]}
        )
        for n in range(3)
    ]
    expected = np.split(data.order(1), [1, 3])
    assert taken == [sorted(part.tolist()) for part in expected]
    # One window takes users as they come: the state of a checkpoint of before has no window.
    one = dataset(lengths, "pack", 1, 5, 0)
    assert one.order(1).tolist() == list(range(7))
    stream = iter(one)
    stream.set_state({"epoch": 2, "batch": 1})
    assert stream.get_state() == {"epoch": 2, "window": 0, "batch": 1}


def test_packing_wastes_least() -> None:
    lengths = np.random.default_rng(0).integers(1, 20, 2000).tolist()
    waste = {p: padding_waste(iter(dataset(lengths, p, 32, 20, 0)), 20) for p in PACKINGS}
    assert waste["pack"] < 0.05 < waste["bucket"] < waste["pad"]


def test_no_events_are_refused() -> None:
    with pytest.raises(GenretError, match="found no events"):
        dataset([0, 0], "pack", 2, 5, 0)


@hypothesis.given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(sum),
    packing=st.sampled_from(PACKINGS),
    max_items=st.integers(1, 6),
)
def test_rows_of_one_target_hold_an_event_and_those_before_it(lengths, packing, max_items) -> None:
    """Every event is the last of one row; gaps and users go along with the events."""
    events = np.arange(sum(lengths))
    histories = numbered(lengths, events**3 * 1_000_000, np.arange(len(lengths)))
    offsets, gaps = histories.offsets, bucket_gaps(histories, 8)
    stream = iter(
        TrainingBatches(
            histories, TrainConfig(batch_size=3, packing=packing), max_items=max_items,
            seed=0, one_target=True, time_buckets=8, user_buckets=100,
        )
    )  # fmt: skip
    targets = []
    while stream.get_state()["epoch"] == 0:
        batch = next(stream)
        for row, present in enumerate(batch["segments"] > 0):
            own = batch["items"][row][present]
            if not len(own):
                continue
            assert present[: len(own)].all()  # from the left
            owner = int(np.searchsorted(offsets, own[-1], side="right")) - 1
            first = max(offsets[owner], own[-1] - max_items)
            assert own.tolist() == list(range(first, own[-1] + 1))
            assert batch["positions"][row][present].tolist() == list(range(len(own)))
            assert batch["gaps"][row][present].tolist() == gaps[own].tolist()
            assert set(batch["users"][row][present].tolist()) == {1 + owner}
            targets.append(int(own[-1]))
    assert sorted(targets) == events.tolist()
