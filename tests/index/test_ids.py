"""Item ids: which are taken, and that positions and ids lead to each other."""

import numpy as np
import pyarrow as pa
import pytest

from genret.errors import GenretError
from genret.index import TrieIndex

CODES = [[2, 1], [0, 0], [1, 1]]


@pytest.mark.parametrize(
    "ids",
    [
        ["b", "a", "c"],
        ["", "a\tb\n", "日本"],
        np.array(["x", "yy", "zzz"]),
        np.array(["x", "yy", "zzz"], dtype=object),
        pa.array(["x", "yy", "zzz"]),
        [30, -1, 7],
        np.array([1, 2, 2**63 - 1]),
        (5, 6, 7),
        pa.array([5, 6, 7]),
    ],
)
def test_ids_and_positions_lead_to_each_other(ids: object) -> None:
    index = TrieIndex.from_codes(CODES, ids)
    values = list(ids.to_pylist() if isinstance(ids, pa.Array) else ids)
    assert index.ids_of([0, 1, 2]).tolist() == values
    assert index.positions_of([values[2], values[0]]).tolist() == [2, 0]
    assert index.ids_of([[1, 0]]).tolist() == [[values[1], values[0]]]
    padding = None if isinstance(values[0], str) else -1
    assert index.ids_of([-1, 2]).tolist() == [padding, values[2]]


def test_without_ids_positions_are_ids() -> None:
    index = TrieIndex.from_codes(CODES)
    assert index.ids_of([2, -1, 0]).tolist() == [2, -1, 0]
    assert index.positions_of([2, 0]).tolist() == [2, 0]
    for bad, message in [([3], "id 3"), ([-1], "id -1"), (["a"], "expected integers")]:
        with pytest.raises(GenretError, match=message):
            index.positions_of(bad)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "b"], r"shape \(2,\)"),
        ([["a", "b", "c"]], r"shape \(1, 3\)"),
        (["a", "b", "a"], r"item_ids\[2\]: 'a' occurs twice"),
        ([1, 2, 1], r"item_ids\[2\]: 1 occurs twice"),
        (["a", 1, "b"], r"item_ids\[1\]: found 1"),
        (["a", None, "b"], r"item_ids\[1\]: found None"),
        ([1.0, 2.0, 3.0], r"item_ids\[0\]: found 1.0"),
        ([True, False, True], r"item_ids\[0\]: found True"),
        ([1, 2, 2**63], "below 2"),
        (np.array([1, 2, 2**63], np.uint64), "below 2"),
        (["a", "b", "\ud800"], "not valid Unicode"),
    ],
)
def test_bad_ids_are_named(ids: object, message: str) -> None:
    with pytest.raises(GenretError, match=message):
        TrieIndex.from_codes(CODES, ids)


@pytest.mark.parametrize("wanted", [["a", "nobody"], [1]])
def test_an_unknown_id_is_named(wanted: list) -> None:
    index = TrieIndex.from_codes(CODES, ["a", "b", "c"])
    with pytest.raises(GenretError, match=repr(wanted[-1])):
        index.positions_of(wanted)
