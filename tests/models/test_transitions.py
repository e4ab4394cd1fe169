"""Transitions: the counts of plain loops, for any histories."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.decoding import beam_search
from genret.errors import GenretError
from genret.histories import Histories
from genret.index import ItemFilter, TrieIndex
from genret.models import History, Transitions, load_transitions, save_transitions

ITEMS = 6
CODES = np.arange(ITEMS)[:, None]
LISTS = st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=7), min_size=1, max_size=5)
PREFILL = jax.jit(lambda model, history: model.prefill(history)[0][:, 0])


def slow_log_shares(
    training: list[list[int]], own: list[int], window: int, backward: float, neighbors: int
) -> np.ndarray:
    """Count pair by pair, with the decay and the smoothing of the defaults."""
    counts = np.zeros((ITEMS, ITEMS))
    for events in training:
        for late in range(len(events)):
            for early in range(max(0, late - window), late):
                counts[events[early], events[late]] += 1 / (late - early)
    counts = counts + backward * counts.T
    norms = np.sqrt(np.outer(counts.sum(axis=1), counts.sum(axis=0)))
    weights = np.divide(counts, norms, out=np.zeros_like(counts), where=norms > 0)
    for row in weights:
        row[np.argsort(-row, kind="stable")[neighbors:]] = 0
    seen = np.maximum([sum(e.count(i) for e in training) for i in range(ITEMS)], 0.5)
    popularity = seen / seen.sum()
    mass = sum((0.6**age * weights[item] for age, item in enumerate(own[::-1])), np.zeros(ITEMS))
    known = mass / mass.sum() if mass.sum() > 0 else popularity
    return np.log(0.95 * known + 0.05 * popularity)


@settings(max_examples=40, deadline=None)
@given(
    training=LISTS.filter(any),
    own=st.lists(st.integers(0, ITEMS - 1), max_size=4),
    window=st.integers(1, 8),
    backward=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_equals_plain_loops(
    training: list[list[int]], own: list[int], window: int, backward: float
) -> None:
    histories = Histories.from_lists(training)
    model = Transitions.fit(histories, ITEMS, window=window, backward=backward)
    # One shape for all examples: it compiles once.
    room = ITEMS - model.neighbors.shape[1]
    model = dataclasses.replace(
        model,
        neighbors=jnp.asarray(np.pad(np.asarray(model.neighbors), ((0, 0), (0, room)))),
        weights=jnp.asarray(np.pad(np.asarray(model.weights), ((0, 0), (0, room)))),
    )
    found = PREFILL(model, History.from_items(CODES, [own], 4))[0]
    expected = slow_log_shares(training, own, window, backward, ITEMS)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_keeps_the_largest_weights() -> None:
    rng = np.random.default_rng(0)
    training = [rng.integers(0, ITEMS, 9).tolist() for _ in range(8)]
    model = Transitions.fit(Histories.from_lists(training), ITEMS, neighbors=2)
    assert model.neighbors.shape == (ITEMS, 2)
    found = PREFILL(model, History.from_items(CODES, [[3, 1]], 4))[0]
    np.testing.assert_allclose(found, slow_log_shares(training, [3, 1], 10, 0.3, 2), atol=1e-4)


def test_is_searched_like_any_model() -> None:
    model = Transitions.fit(Histories.from_lists([[0, 1, 2], [0, 1, 3], [4, 0]]), ITEMS)
    index = TrieIndex.from_codes(CODES)
    history = History.from_items(CODES, [[4, 0], []], 3)
    scores = np.asarray(model.prefill(history)[0])[:, 0]
    found = beam_search(model, history, index, beams=ITEMS)
    np.testing.assert_array_equal(found.items, np.argsort(-scores, axis=1, kind="stable"))
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-5)
    assert found.items[0, 0] == 1
    few = ItemFilter.from_items(index, [2, 5])
    assert set(np.asarray(beam_search(model, history, index, beams=2, filters=[few]).items[0])) == {
        2,
        5,
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"window": 0}, "window: found 0, expected at least 1"),
        ({"neighbors": 0}, "neighbors: found 0, expected at least 1"),
        ({"backward": 1.5}, "backward: found 1.5, expected 0 to 1"),
        ({"decay": 0.0}, "decay: found 0.0, expected above 0 and at most 1"),
        ({"smoothing": 1.0}, "smoothing: found 1.0, expected above 0 and below 1"),
    ],
)
def test_bad_input(options: dict[str, Any], says: str) -> None:
    with pytest.raises(GenretError, match=says):
        Transitions.fit(Histories.from_lists([[0, 1]]), ITEMS, **options)


def test_needs_events() -> None:
    with pytest.raises(GenretError, match="transitions: found no training events"):
        Transitions.fit(Histories.from_lists([[]]), ITEMS)
    model = Transitions.fit(Histories.from_lists([[0, 1]]), ITEMS)
    assert model.capabilities.max_items == model.max_items == 20
    with pytest.raises(GenretError, match="transitions have one level"):
        model.step(jnp.zeros((1, 1), jnp.int32), jnp.zeros((1, 1), jnp.int32), None)


@given(training=LISTS.filter(any), more=st.integers(0, 3))
def test_items_that_come_later_have_no_counts(training: list[list[int]], more: int) -> None:
    """The counts are those that a fit to the larger catalog would have made."""
    histories = Histories.from_lists(training)
    grown = Transitions.fit(histories, ITEMS).with_items(ITEMS + more)
    expected = Transitions.fit(histories, ITEMS + more)
    assert grown.num_items == ITEMS + more
    for name in ("weights", "events"):
        np.testing.assert_allclose(getattr(grown, name), getattr(expected, name), rtol=1e-6)
    counted = np.asarray(grown.weights) > 0
    np.testing.assert_array_equal(
        np.asarray(grown.neighbors)[counted], np.asarray(expected.neighbors)[counted]
    )


def test_fewer_items_than_were_counted_are_refused() -> None:
    model = Transitions.fit(Histories.from_lists([[0, 1]]), ITEMS)
    with pytest.raises(GenretError, match="found counts of 6 items, expected at most the 5 of"):
        model.with_items(5)


def test_comes_back_from_the_disk(tmp_path: Path) -> None:
    assert load_transitions(tmp_path) is None
    fitted = Transitions.fit(Histories.from_lists([[0, 1, 2], [4, 1]]), ITEMS, decay=0.7)
    fitted = dataclasses.replace(fitted, share=0.3, max_items=4)
    save_transitions(tmp_path, fitted)
    found = load_transitions(tmp_path)
    assert found is not None
    for field in dataclasses.fields(fitted):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(fitted, field.name))
    assert isinstance(found.share, float)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"neighbors": np.full((ITEMS, 2), 6, np.int32)}, "damaged: its numbers"),
        ({"weights": np.full((ITEMS, 2), np.nan, np.float32)}, "damaged: its numbers"),
        ({"weights": np.ones((ITEMS, 1), np.float32)}, "damaged: its numbers"),
        ({"events": np.zeros(ITEMS, np.float32)}, "damaged: its numbers"),
        ({"share": np.float64(1.5)}, "damaged: its numbers"),
        ({"events": np.ones(ITEMS, np.float64)}, "expected decay, events, max_items, neighbors"),
        ({"more": np.ones(3)}, "found .*more.*, expected decay, events"),
    ],
)
def test_damaged_files_are_refused(
    tmp_path: Path, changes: dict[str, np.ndarray], says: str
) -> None:
    save_transitions(tmp_path, Transitions.fit(Histories.from_lists([[0, 1, 2]]), ITEMS))
    file = tmp_path / "transitions.safetensors"
    arrays = safetensors.numpy.load(file.read_bytes()) | changes
    file.write_bytes(
        safetensors.numpy.save({name: np.asarray(value) for name, value in arrays.items()})
    )
    with pytest.raises(GenretError, match=says):
        load_transitions(tmp_path)
    file.write_bytes(b"none")
    with pytest.raises(GenretError, match=r"transitions.safetensors: damaged \("):
        load_transitions(tmp_path)
