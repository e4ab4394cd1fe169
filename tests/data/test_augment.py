"""Augmented histories: parts of the users' own events, in the order and the shares that were asked for."""

from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from genret.config import TrainConfig
from genret.data._augment import augmented
from genret.data.pipeline import TrainingBatches
from genret.errors import GenretError
from genret.histories import Histories, offsets_of
from tests.data.test_pipeline import PACKINGS, numbered

SHARES = st.sampled_from([0.0, 0.3, 1.0])


def seen(lengths: list[int], seed: int = 0, **shares: float) -> list[list[int]]:
    """Return the events of each user as an epoch sees them; events are numbered 0, 1, 2, …"""
    histories = numbered(lengths)
    users, rng = np.arange(len(lengths)), np.random.default_rng(seed)
    events, offsets = augmented(histories, users, TrainConfig(**shares), rng)
    return [own.tolist() for own in np.split(events, offsets[1:-1])]


@hypothesis.given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    crop=SHARES,
    drop_items=st.sampled_from([0.0, 0.3, 0.99]),
    shuffle=SHARES,
    reverse=SHARES,
    seed=st.integers(0, 3),
)
def test_each_user_keeps_events_of_their_own(
    lengths, crop, drop_items, shuffle, reverse, seed
) -> None:
    shares = {"crop": crop, "drop_items": drop_items, "shuffle": shuffle, "reverse": reverse}
    found = seen(lengths, seed, **shares)
    assert found == seen(lengths, seed, **shares)
    for own, first, length in zip(found, offsets_of(np.array(lengths)), lengths, strict=False):
        assert len(set(own)) == len(own)
        assert set(own) <= set(range(first, first + length))
        assert bool(own) == bool(length)
        if not crop and not drop_items:
            assert len(own) == length
        if not drop_items:
            assert 2 * len(own) >= length
            assert not own or max(own) - min(own) == len(own) - 1
        if not shuffle:
            assert own in (sorted(own), sorted(own, reverse=True))
        if not shuffle and not reverse:
            assert own == sorted(own)


def test_the_shares_are_those_that_were_asked_for() -> None:
    lengths = [10] * 4000
    whole = [list(range(10 * n, 10 * n + 10)) for n in range(4000)]

    def share(**asked: float) -> float:
        return float(np.mean([a != b for a, b in zip(seen(lengths, **asked), whole, strict=True)]))

    # Of six lengths from 5 to 10 that a part may have one is the whole.
    assert abs(share(crop=0.6) - 0.6 * 5 / 6) < 0.03
    assert abs(share(reverse=0.25) - 0.25) < 0.03
    assert abs(share(shuffle=0.5, reverse=0.5) - 0.75) < 0.03
    kept = sum(map(len, seen(lengths, drop_items=0.2)))
    assert abs(kept / 40_000 - 0.8) < 0.01
    sizes = np.bincount([len(own) for own in seen(lengths, crop=1.0)])
    assert np.abs(sizes[5:] / 4000 - 1 / 6).max() < 0.03
    starts = [own[0] % 10 for own in seen(lengths, crop=1.0) if len(own) == 5]
    assert set(starts) == set(range(6))


@pytest.mark.parametrize("packing", PACKINGS)
def test_batches_hold_the_augmented_histories_and_go_on_from_a_state(packing: str) -> None:
    config = TrainConfig(
        batch_size=3, packing=packing, crop=0.5, drop_items=0.3, shuffle=0.3, reverse=0.5
    )
    data = TrainingBatches(numbered([9, 0, 4, 7, 12] * 5), config, max_items=12, seed=1)
    stream, epochs, states, batches = iter(data), [], [], []
    while len(epochs) < 2:
        states.append(stream.get_state())
        batches.append(next(stream))
        if stream.get_state()["epoch"] > len(epochs):
            epochs.append(np.concatenate([b["items"][b["segments"] > 0] for b in batches]))
    # The two epochs see other events; of each, none comes twice within one epoch.
    first = set(epochs[0].tolist())
    assert len(first) == len(epochs[0]) < 160
    assert set(epochs[1][len(epochs[0]) :].tolist()) != first
    again = iter(data)
    again.set_state(states[-1])
    np.testing.assert_array_equal(next(again)["items"], batches[-1]["items"])


def test_rows_of_one_target_are_prefixes_of_the_augmented_history() -> None:
    config = TrainConfig(batch_size=64, reverse=1.0, packing="pad")
    data = TrainingBatches(numbered([3]), config, max_items=4, seed=0, one_target=True)
    batch = next(iter(data))
    rows = [own[own >= 0].tolist() for own in batch["items"]]
    assert sorted(filter(None, rows)) == [[2], [2, 1], [2, 1, 0]]


def test_times_stay_with_their_events() -> None:
    histories = numbered([4], times=np.array([0, 10, 30, 70]) * 1_000_000)
    config = TrainConfig(batch_size=1, drop_items=0.5)
    whole = TrainingBatches(
        histories, TrainConfig(batch_size=1), max_items=4, seed=0, time_buckets=9
    )
    gap_of = next(iter(whole))["gaps"][0, :4]
    assert len(set(gap_of.tolist())) == 4
    stream = iter(TrainingBatches(histories, config, max_items=4, seed=0, time_buckets=9))
    for _ in range(8):
        batch = next(stream)
        filled = batch["items"] >= 0
        np.testing.assert_array_equal(batch["gaps"][filled], gap_of[batch["items"][filled]])


@pytest.mark.parametrize("name", ["shuffle", "reverse"])
def test_times_and_another_order_are_refused(name: str) -> None:
    shares: dict[str, Any] = {name: 0.5}
    with pytest.raises(GenretError, match="time_buckets: found 4 with shuffle"):
        TrainingBatches(numbered([3]), TrainConfig(**shares), max_items=4, seed=0, time_buckets=4)


@pytest.mark.parametrize("name", ["crop", "drop_items", "shuffle", "reverse"])
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_shares_are_checked(name: str, value: float) -> None:
    shares: dict[str, Any] = {name: value}
    with pytest.raises(GenretError, match=f"{name}: found"):
        TrainConfig(**shares)


def test_what_is_not_asked_for_changes_no_older_checkpoint() -> None:
    learned = TrainConfig().what_is_learned()
    assert not {"crop", "drop_items", "shuffle", "reverse"} & set(learned)
    assert TrainConfig(crop=0.5).what_is_learned()["crop"] == 0.5


def test_no_history_at_all() -> None:
    assert seen([0]) == [[]]
    none = Histories.from_lists([])
    events, offsets = augmented(
        none, np.zeros(0, np.int64), TrainConfig(crop=1.0), np.random.default_rng(0)
    )
    assert (events.tolist(), offsets.tolist()) == ([], [0])
