"""Suffixes: unique, by row order, with room for new items."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret.errors import GenretError
from genret.semantic_ids import SemanticIds
from genret.tokenizers import resolve_collisions
from genret.tokenizers.collisions import Collisions, suffix_of_new

ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30)


@given(ROWS)
def test_suffixes_equal_the_slow_twin(rows: list[tuple[int, int]]) -> None:
    ids = SemanticIds.from_codes(rows, codes_per_level=(3, 5))
    found = resolve_collisions(ids, "suffix")
    codes, sizes = found.codes, found.codes_per_level
    seen: dict[tuple[int, int], int] = {}
    for row, suffixed in zip(rows, codes.tolist(), strict=True):
        assert suffixed == [*row, seen.get(row, 0)]
        seen[row] = seen.get(row, 0) + 1
    largest = max(seen.values())
    assert sizes[:2] == (3, 5)
    assert sizes[2] >= max(2, largest)
    assert sizes[2] == 2 or sizes[2] // 2 < largest
    assert len(np.unique(codes, axis=0)) == len(rows)
    assert Collisions.count(codes) == Collisions(0, 0, 1)


@given(ROWS)
def test_counts_equal_the_slow_twin(rows: list[tuple[int, int]]) -> None:
    shared = [rows.count(row) for row in set(rows)]
    expected = Collisions(sum(n for n in shared if n > 1), sum(n > 1 for n in shared), max(shared))
    assert Collisions.count(np.array(rows)) == expected


def test_keep_leaves_the_codes() -> None:
    ids = SemanticIds.from_codes([[1, 1], [1, 1]])
    assert resolve_collisions(ids, "keep") is ids
    titles = SemanticIds.from_codes([[1, 0], [1, 1]], end_code=0)
    with pytest.raises(GenretError, match="found an end code, expected 'keep'"):
        resolve_collisions(titles, "suffix")


def with_suffixes(rows: list[tuple[int, int]], room: int = 64) -> SemanticIds:
    """Return rows of two codes below 3 with their suffixes, on a level of many codes."""
    found = resolve_collisions(SemanticIds.from_codes(rows, codes_per_level=(3, 3)), "suffix")
    return SemanticIds.from_codes(found.codes, codes_per_level=(3, 3, room))


@given(ROWS, ROWS)
def test_new_items_get_free_suffixes(
    old: list[tuple[int, int]], new: list[tuple[int, int]]
) -> None:
    existing = with_suffixes(old)
    found = suffix_of_new(new, existing)
    assert found.codes_per_level == existing.codes_per_level
    together = np.concatenate([existing.codes, found.codes])
    assert len(np.unique(together, axis=0)) == len(old) + len(new)
    # The same as if they had come at the end of the catalog.
    np.testing.assert_array_equal(together, with_suffixes(old + new).codes)


def test_gaps_of_items_that_left_are_not_filled() -> None:
    left = SemanticIds.from_codes([[1, 1, 2]], codes_per_level=(2, 2, 4))
    assert suffix_of_new([[1, 1]], left).codes.tolist() == [[1, 1, 3]]


def test_no_suffix_left_names_the_row() -> None:
    with pytest.raises(GenretError, match=r"row 1 \[1, 1\] needs the suffix 2, .* has 2 codes"):
        suffix_of_new([[0, 0], [1, 1]], SemanticIds.from_codes([[1, 1, 0], [1, 1, 1]]))


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[0, 3]], r"codes\[0, 1\]: found 3, expected a code below 3"),
        ([[-1, 0]], r"codes\[0, 0\]: found -1"),
        ([[0.5, 1]], "found dtype float64"),
        ([[0, 1], [0]], "rows of different lengths"),
        ([], r"found shape \(0,\)"),
        ([[0]], "expected 1 integers, one a level"),
        ([[2**70, 1]], "found dtype object"),
    ],
)
def test_bad_codes_of_new_items_are_refused(codes: Any, message: str) -> None:
    with pytest.raises(GenretError, match=message):
        suffix_of_new(codes, with_suffixes([(0, 0)]))
