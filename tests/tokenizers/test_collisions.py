"""Suffixes: unique, by row order, with room for new items."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret.errors import GenretError
from genret.tokenizers import Collisions, resolve_collisions, suffix_of_new

ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30)


@given(ROWS)
def test_suffixes_equal_the_slow_twin(rows: list[tuple[int, int]]) -> None:
    codes, sizes = resolve_collisions(rows, (3, 5), "suffix")
    seen: dict[tuple[int, int], int] = {}
    for row, found in zip(rows, codes.tolist(), strict=True):
        assert found == [*row, seen.get(row, 0)]
        seen[row] = seen.get(row, 0) + 1
    largest = max(seen.values())
    assert sizes[:2] == (3, 5)
    assert sizes[2] >= max(2, largest)
    assert sizes[2] == 2 or sizes[2] // 2 < largest
    assert len(np.unique(codes, axis=0)) == len(rows)
    assert codes.dtype == np.int32
    assert Collisions.count(codes) == Collisions(0, 0, 1)


@given(ROWS)
def test_counts_equal_the_slow_twin(rows: list[tuple[int, int]]) -> None:
    shared = [rows.count(row) for row in set(rows)]
    expected = Collisions(sum(n for n in shared if n > 1), sum(n > 1 for n in shared), max(shared))
    assert Collisions.count(np.array(rows)) == expected


def test_keep_leaves_the_codes() -> None:
    codes, sizes = resolve_collisions([[1, 1], [1, 1]], (2, 2), "keep")
    assert codes.tolist() == [[1, 1], [1, 1]]
    assert sizes == (2, 2)


@given(ROWS, ROWS)
def test_new_items_get_free_suffixes(
    old: list[tuple[int, int]], new: list[tuple[int, int]]
) -> None:
    existing, _ = resolve_collisions(old, (3, 3), "suffix")
    found = suffix_of_new(new, existing, (3, 3, 64))
    together = np.concatenate([existing, found])
    assert len(np.unique(together, axis=0)) == len(old) + len(new)
    # The same as if they had come at the end of the catalog.
    whole, _ = resolve_collisions(old + new, (3, 3), "suffix")
    np.testing.assert_array_equal(together, whole)


def test_gaps_of_items_that_left_are_not_filled() -> None:
    assert suffix_of_new([[1, 1]], [[1, 1, 2]], (2, 2, 4)).tolist() == [[1, 1, 3]]


def test_no_suffix_left_names_the_row() -> None:
    with pytest.raises(GenretError, match=r"row 1 \[1, 1\] needs the suffix 2, .* has 2 codes"):
        suffix_of_new([[0, 0], [1, 1]], [[1, 1, 0], [1, 1, 1]], (2, 2, 2))


@pytest.mark.parametrize(
    ("codes", "sizes", "message"),
    [
        ([[0, 3]], (3, 3), "row 0 has the code 3 at level 1, expected 0 to 2"),
        ([[-1, 0]], (3, 3), "row 0 has the code -1 at level 0"),
        ([[0.5, 1]], (3, 3), "found dtype float64"),
        ([[0, 1], [0]], (3, 3), "rows of different lengths"),
        ([], (3, 3), r"found shape \(0,\)"),
        ([[0, 1]], (3,), "found 2 levels"),
        ([[0, 1]], (3, 0), "positive count"),
        ([[2**70, 1]], (3, 3), "found dtype object"),
        ([[2**40, 1]], (3, 3), f"the code {2**40}"),
        ([[0] * 65], (3,) * 65, "found 65 levels, expected at most 64"),
    ],
)
def test_bad_codes_are_refused(codes: Any, sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(GenretError, match=message):
        resolve_collisions(codes, sizes, "suffix")
