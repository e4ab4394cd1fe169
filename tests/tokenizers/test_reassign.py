"""Reassigned collisions: unique, minimal, and nobody moves without need."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.errors import GenretError
from genret.semantic_ids import SemanticIds
from genret.tokenizers.collisions import Collisions
from genret.tokenizers.reassign import reassign_collisions, separate_below_prefixes


class Grid:
    """A tokenizer whose codes are the digits of a number on a line."""

    def __init__(self, *sizes: int) -> None:
        self.codes_per_level = sizes

    @classmethod
    def fit(cls, vectors: Any, config: Any, seed: int, advance: Any = None, pairs: Any = None):
        raise AssertionError("reassigning only decodes")

    def encode(self, vectors: Any) -> SemanticIds:
        raise AssertionError("reassigning only decodes")

    def decode(self, codes: Any) -> np.ndarray:
        codes = np.asarray(codes)
        units = np.cumprod((1, *self.codes_per_level[:0:-1]))[::-1][: codes.shape[1]]
        return (codes * units).sum(axis=1, keepdims=True).astype(np.float32)

    def save(self, folder: Path) -> None:
        raise AssertionError("reassigning only decodes")

    @classmethod
    def load(cls, folder: Path) -> "Grid":
        raise AssertionError("reassigning only decodes")

    def report(self, vectors: Any) -> dict[str, Any]:
        raise AssertionError("reassigning only decodes")


ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=6)


@settings(max_examples=100)
@given(ROWS, st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), max_size=2, unique=True))
def test_moves_are_few_and_short(rows: list[tuple[int, int]], taken: list[tuple[int, int]]) -> None:
    grid, codes = Grid(2, 3), np.array(rows)
    ids = SemanticIds.from_codes(codes, codes_per_level=(2, 3))
    x = grid.decode(codes) + np.linspace(-0.4, 0.4, len(rows), dtype=np.float32)[:, None]
    if len(rows) + len(taken) > 6:
        with pytest.raises(GenretError, match="only 6 rows of codes"):
            reassign_collisions(ids, x, grid, taken=taken)
        return
    found = reassign_collisions(ids, x, grid, taken=taken).codes
    assert (
        Collisions.count(np.concatenate([found, np.array(taken, np.int32).reshape(-1, 2)])).items
        == 0
    )
    for row, after in zip(rows, found.tolist(), strict=True):
        if rows.count(row) == 1 and row not in taken:
            assert tuple(after) == row
    for prefix in (0, 1):
        movers = [
            i for i, r in enumerate(rows) if r[0] == prefix and (rows.count(r) > 1 or r in taken)
        ]
        stay = [r for r in rows if r[0] == prefix and rows.count(r) == 1 and r not in taken]
        held = [c for p, c in [*stay, *taken] if p == prefix]
        free = [c for c in range(3) if c not in held]
        if not movers or len(free) < len(movers):
            continue
        costs = [
            sum(
                float((x[i, 0] - (3 * prefix + c)) ** 2)
                for i, c in zip(movers, chosen, strict=True)
            )
            for chosen in itertools.permutations(free, len(movers))
        ]
        mine = sum(float((x[i, 0] - grid.decode(found[i : i + 1])[0, 0]) ** 2) for i in movers)
        assert mine == pytest.approx(min(costs), abs=1e-4)


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=9
    )
)
def test_items_of_a_prefix_get_codes_of_their_own(rows: list[tuple[int, int, int]]) -> None:
    grid, codes = Grid(2, 2, 4), np.array(rows)
    ids = SemanticIds.from_codes(codes, codes_per_level=(2, 2, 4))
    x = grid.decode(codes) + np.linspace(-0.4, 0.4, len(rows), dtype=np.float32)[:, None]
    found = separate_below_prefixes(ids, x, grid).codes
    np.testing.assert_array_equal(found[:, :2], codes[:, :2])
    for prefix in itertools.product((0, 1), (0, 1)):
        own = np.flatnonzero((codes[:, :2] == prefix).all(axis=1))
        before, after = codes[own, 2], found[own, 2]
        if len(set(before.tolist())) == len(own) or len(own) > 4:
            np.testing.assert_array_equal(after, before)
            continue
        assert len(set(after.tolist())) == len(own)

        def cost(chosen: Any, own: Any = own, prefix: Any = prefix) -> float:
            leaves = np.array([[*prefix, c] for c in chosen])
            return float(((x[own] - grid.decode(leaves)) ** 2).sum())

        least = min(cost(chosen) for chosen in itertools.permutations(range(4), len(own)))
        assert cost(after) == pytest.approx(least, abs=1e-4)


def test_separating_needs_a_vector_an_item() -> None:
    with pytest.raises(GenretError, match="vectors: found 1 rows, expected 2"):
        separate_below_prefixes(SemanticIds.from_codes([[0], [0]]), [[1.0]], Grid(2))


def test_a_full_prefix_overflows_to_the_nearest_other() -> None:
    grid = Grid(3, 2, 2)
    codes = np.array([[1, 0, 0]] * 5)
    x = np.full((5, 1), 4.0, np.float32)
    ids = SemanticIds.from_codes(codes, codes_per_level=grid.codes_per_level)
    found = reassign_collisions(ids, x, grid).codes
    numbers = sorted(grid.decode(found)[:, 0].tolist())
    assert numbers[:2] == [4.0, 5.0] or 4.0 in numbers
    assert len(set(numbers)) == 5
    assert {4.0, 5.0, 6.0, 7.0} < set(numbers)  # the parent's other prefix is filled first


def test_one_level() -> None:
    ids = SemanticIds.from_codes([[1], [1], [3]], ["a", "b", "c"], codes_per_level=(4,))
    found = reassign_collisions(ids, [[1.0], [1.2], [3.0]], Grid(4))
    assert found.ids_of([0, 1, 2]).tolist() == ["a", "b", "c"]
    assert found.codes.tolist() == [[1], [2], [3]]


def test_bad_input_is_named() -> None:
    with pytest.raises(GenretError, match="vectors: found 1 rows, expected 2"):
        reassign_collisions(SemanticIds.from_codes([[0], [0]]), [[1.0]], Grid(2))
    one = SemanticIds.from_codes([[0]], codes_per_level=(2,))
    with pytest.raises(GenretError, match=r"taken\[0, 0\]: found 5, expected a code below 2"):
        reassign_collisions(one, [[1.0]], Grid(2), taken=[[5]])
    with pytest.raises(GenretError, match="3 items, but only 2 rows of codes"):
        reassign_collisions(SemanticIds.from_codes([[1], [0], [1]]), [[1.0]] * 3, Grid(2))
