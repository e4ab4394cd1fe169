"""A catalog that changes: at every moment what is found equals an index that was built anew."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.decoding import beam_search
from genret.decoding.search import _search
from genret.errors import GenretError
from genret.index import FilterStack, ItemFilter, LiveIndex, TrieIndex
from genret.testing import TableModel, random_codes

COUNTS = (5, 4, 6)
MODEL = TableModel.random(COUNTS, seed=1)
HISTORY = jnp.array([3, 4])


class Catalog:
    """The items that there should be, in a dictionary."""

    def __init__(self, codes: np.ndarray) -> None:
        self.codes = {f"i{i}": row for i, row in enumerate(codes.tolist())}
        # Room for whatever is to come: indices that are built anew then share their programs.
        self.first = TrieIndex.from_codes(
            codes, list(self.codes), codes_per_level=COUNTS, reserve=2.0
        )
        self.index = LiveIndex(self.first)
        self.made = len(codes)

    def insert(self, codes: np.ndarray) -> None:
        ids = [f"i{self.made + i}" for i in range(len(codes))]
        self.index = self.index.insert(codes, ids)
        self.codes |= dict(zip(ids, codes.tolist(), strict=True))
        self.made += len(codes)

    def remove(self, ids: list[str]) -> None:
        self.index = self.index.remove(ids)
        for item_id in ids:
            del self.codes[item_id]

    def check(self, seed: int, beams: int = 8) -> None:
        """Compare a search under filters and exclusions with that of an index built anew."""
        ids = list(self.codes)
        rng = np.random.default_rng(seed)
        fresh = TrieIndex.from_codes(list(self.codes.values()), ids, like=self.first)
        allowed = [ids[i] for i in np.flatnonzero(rng.random(len(ids)) < 0.6)]
        seen = [[ids[i] for i in rng.integers(0, len(ids), 4)] for _ in range(2)]

        def found(index: TrieIndex | LiveIndex) -> list[Any]:
            result = beam_search(
                MODEL, HISTORY, index, beams=beams,
                filters=[ItemFilter.from_items(index, allowed), ItemFilter.from_items(index, ids)],
                filter_of=[0, 1], exclude=[index.positions_of(own) for own in seen],
            )  # fmt: skip
            plain = beam_search(MODEL, HISTORY, index, beams=beams)
            return [
                (index.ids_of(r.items).tolist(), r.scores.tolist(), r.codes.tolist())
                for r in (result, plain)
            ]

        assert found(self.index) == found(fresh)


ACTIONS = st.lists(st.tuples(st.sampled_from("irc"), st.integers(0, 999)), min_size=1, max_size=8)


def play(actions: list[tuple[str, int]], kind: str) -> None:
    catalog = Catalog(random_codes(40, COUNTS, kind, seed=1))
    for action, number in actions:
        rng = np.random.default_rng(number)
        if action == "i":
            catalog.insert(random_codes(1 + number % 9, COUNTS, kind, seed=number))
        elif action == "r" and len(catalog.codes) > 5:
            ids = list(catalog.codes)
            catalog.remove([ids[i] for i in set(rng.integers(0, len(ids), 3).tolist())])
        elif action == "c":
            catalog.index = catalog.index.compact()
        catalog.check(number)


@pytest.mark.slow
def test_some_changes() -> None:
    play([("i", 4), ("r", 1), ("c", 0), ("i", 2)], "duplicates")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zipf", "duplicates"])
@settings(max_examples=4)
@given(actions=ACTIONS)
def test_any_order_of_changes_at_length(actions: list[tuple[str, int]], kind: str) -> None:
    play(actions, kind)


@pytest.mark.slow
def test_changes_compile_nothing() -> None:
    codes = random_codes(200, COUNTS, seed=0)
    index = LiveIndex(TrieIndex.from_codes(codes, codes_per_level=COUNTS), insert_capacity=100)
    stack = FilterStack.of(index, [ItemFilter.from_mask(index, np.arange(200) % 2 == 0)])
    for filters in (None, stack):
        beam_search(MODEL, HISTORY, index, beams=4, filters=filters)
    compiled = _search._cache_size()
    for seed in range(6):
        index = index.insert(random_codes(5, COUNTS, seed=seed))
        index = index.remove([seed, 200 + 5 * seed])
        mask = np.random.default_rng(seed).random(index.num_items) < 0.5
        for filters in (None, FilterStack.of(index, [ItemFilter.from_mask(index, mask)])):
            beam_search(MODEL, HISTORY, index, beams=4, filters=filters)
    index = index.compact()
    assert index.num_items == 200 + 6 * 5 - 12
    assert _search._cache_size() == compiled


def test_filters_outlive_changes_but_stacks_do_not() -> None:
    index = LiveIndex(TrieIndex.from_codes([[0, 0], [1, 1], [1, 2]], ["a", "b", "c"]))
    item_filter = ItemFilter.from_items(index, ["a", "b"])
    stack = FilterStack.of(index, [item_filter])
    changed = index.insert([[0, 1]], ["d"]).remove(["b"])
    model = TableModel.random((2, 3), seed=0)
    found = beam_search(model, HISTORY, changed, beams=4, filters=item_filter)
    assert changed.ids_of(found.items)[0].tolist() == ["a", None, None, None]
    assert (~item_filter).num_allowed == 1  # an item that came later is in neither
    both = item_filter | ItemFilter.from_items(changed, ["d"])
    assert both.num_allowed == 3
    with pytest.raises(GenretError, match="before its items changed"):
        beam_search(model, HISTORY, changed, beams=4, filters=stack)
    with pytest.raises(GenretError, match="another index"):
        beam_search(model, HISTORY, changed.compact(), beams=4, filters=item_filter)


def test_ids_that_are_positions_stay_after_compaction() -> None:
    index = LiveIndex(TrieIndex.from_codes([[0], [1], [2]], codes_per_level=(5,)))
    index = index.insert([[4], [3]]).remove([1]).compact()
    assert index.item_ids.tolist() == [0, 2, 3, 4]
    assert index.codes_of(index.positions_of([4])).tolist() == [[3]]
    again = index.insert([[1]], [77]).compact()
    assert again.codes_of(again.positions_of([77])).tolist() == [[1]]


def test_more_items_than_there_is_room_for() -> None:
    start = TrieIndex.from_codes([[0, 0]], codes_per_level=(3, 3000))
    index = LiveIndex(start, insert_capacity=10)
    assert index.insert_capacity == 1024
    codes = np.stack([np.arange(2500) % 3, np.arange(2500)], axis=1)
    index = index.insert(codes)
    assert index.insert_capacity == 8192
    assert index.num_items == 2501
    assert index.items_below((1,)).tolist() == list(range(2, 2501, 3))


def test_bad_changes_are_named() -> None:
    index = LiveIndex(TrieIndex.from_codes([[0, 0], [1, 1]], ["a", "b"]))
    unnamed = TrieIndex.from_codes([[0]])
    for change, message in [
        (lambda: index.remove(["x"]), "'x'"),
        (lambda: index.remove(["a"]).remove(["a"]), "'a' was removed"),
        (lambda: index.insert([[1, 1]], ["a"]), "'a' is in the index already"),
        (lambda: index.insert([[1, 1]], ["c", "d"]), r"found shape \(2,\)"),
        (lambda: index.insert([[1, 1], [0, 0]], ["c", "c"]), "occurs twice"),
        (lambda: index.insert([[1, 1]]), "expected 1 strings"),
        (lambda: index.insert([[1, 1]], [3]), "expected 1 strings"),
        (lambda: index.insert([[1, 2]], ["c"]), "expected a code below 2"),
        (lambda: index.insert([[1]], ["c"]), "expected 1 integers"),
        (lambda: index.remove(["a", "b"]).compact(), "all items are removed"),
        (lambda: LiveIndex(unnamed).insert([[0]], [5]), "ids are positions"),
        (lambda: TrieIndex.from_codes([[0]], reserve=-1.0), "reserve: found -1"),
        (lambda: LiveIndex(unnamed, insert_capacity=-1), "insert_capacity: found -1"),
    ]:
        with pytest.raises(GenretError, match=message):
            change()
    # An id that was removed may come back, with other codes.
    again = index.remove(["a"]).insert([[1, 0]], ["a"])
    assert again.codes_of(again.positions_of(["a"])).tolist() == [[1, 0]]
