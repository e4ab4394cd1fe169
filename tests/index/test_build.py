"""The index against the dictionary trie, at every prefix, and what it refuses to be built from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genret.errors import GenretError
from genret.index import DictTrie, TrieIndex
from genret.index._builder import sort_rows
from genret.index._row_pointers import RowPointers
from genret.testing import random_codes


@st.composite
def catalogues(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...]]:
    """Draw codes of any skew: whole rows are repeated, and levels have from 1 to 70,000 codes."""
    counts = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 7, 70_000]), min_size=1, max_size=6)))
    row = st.tuples(*(st.integers(0, min(count, 5) - 1) for count in counts))
    rows = draw(st.lists(row, min_size=1, max_size=40))
    codes = np.array(rows, dtype=draw(st.sampled_from([np.int8, np.uint16, np.int64])))
    return codes, counts


def check_against_oracle(index: TrieIndex, codes: np.ndarray) -> None:
    """Compare nodes, children, rows and items at every prefix."""
    trie = DictTrie(codes)
    rows = np.asarray(index.rows)
    prefixes = [()]
    for level in range(index.depth + 1):
        assert prefixes == trie.prefixes(level)
        assert index.num_nodes[level] == len(prefixes)
        nodes = jnp.arange(len(prefixes), dtype=jnp.int32)
        lo, hi = (np.asarray(x) for x in index.row_range(level, nodes))
        for node, prefix in enumerate(prefixes):
            assert rows[lo[node] : hi[node]].tolist() == trie.items(prefix)
        if level == index.depth:
            continue
        begin, end = (np.asarray(x) for x in index.children(level, nodes))
        next_codes = np.asarray(index.codes_at(level, jnp.arange(end[-1], dtype=jnp.int32)))
        assert [next_codes[b:e].tolist() for b, e in zip(begin, end, strict=True)] == [
            trie.children(p) for p in prefixes
        ]
        assert (end - begin).max() <= index.widths[level] < 2 * (end - begin).max()
        # The child along an edge is the edge: the next level's nodes are in the order of the edges.
        prefixes = [
            (*p, int(c))
            for p, b, e in zip(prefixes, begin, end, strict=True)
            for c in next_codes[b:e]
        ]


@given(catalogues())
@example((np.array([[0]]), (1,)))
@example((np.zeros((5, 3), np.int32), (1, 1, 1)))
def test_lookups_equal_the_dictionary_trie(
    catalogue: tuple[np.ndarray, tuple[int, ...]],
) -> None:
    codes, counts = catalogue
    index = TrieIndex.from_codes(codes, codes_per_level=counts)
    check_against_oracle(index, codes)
    assert index.num_items == len(codes)
    row_of_item = np.asarray(index.row_of_item)
    assert np.asarray(index.rows)[row_of_item].tolist() == list(range(len(codes)))
    for level, count in enumerate(counts):
        assert index.edge_codes[level].dtype == (jnp.uint16 if count <= 2**16 else jnp.uint32)


@pytest.mark.parametrize("kind", ["uniform", "zipf", "duplicates"])
def test_lookups_of_larger_tries(kind: str) -> None:
    codes = random_codes(700, (9, 200, 4, 30), kind, seed=3)
    check_against_oracle(TrieIndex.from_codes(codes), codes)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=30))
def test_row_pointers_in_every_form(sizes: list[int]) -> None:
    is_first = np.concatenate([np.arange(size) == 0 for size in sizes])
    begins = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    pointers = RowPointers.of_entries(is_first)
    smallest = min(len(sizes) + 1, sum(sizes) - len(sizes))
    assert sum(x.size for x in jax.tree.leaves(pointers)) <= smallest
    assert pointers.widest() == max(sizes)
    np.testing.assert_array_equal(pointers.first_entries(sum(sizes)), is_first)
    extra = np.repeat(np.arange(len(sizes)), np.array(sizes) - 1).astype(np.int32)
    for form in (pointers, RowPointers(starts=begins), RowPointers(extra=extra)):
        on_device = jax.tree.map(jnp.asarray, form)
        rows = jnp.arange(len(sizes) + 1, dtype=jnp.int32)
        np.testing.assert_array_equal(on_device.begin(rows), begins)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=9))
def test_rows_are_sorted_whatever_the_number_of_bits(seed: int, counts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.choice([0, count - 1, count // 2], 30) for count in counts], axis=1)
    expected = sorted(range(30), key=lambda row: (*codes[row].tolist(), row))
    rows = sort_rows(codes, tuple(counts))
    assert rows.tolist() == expected
    in_order = sort_rows(codes[rows], tuple(counts))
    assert in_order.tolist() == list(range(30))


def test_the_index_of_sorted_codes_is_that_of_unsorted_ones() -> None:
    codes = random_codes(200, (5, 5, 5), seed=1)
    order = np.lexsort(codes.T[::-1])
    unsorted, sorted_ = TrieIndex.from_codes(codes), TrieIndex.from_codes(codes[order])
    for a, b in zip(unsorted.edge_codes, sorted_.edge_codes, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(order[np.asarray(sorted_.rows)], unsorted.rows)


def test_codes_may_be_anything_like_an_array_of_integers() -> None:
    codes = [[1, 0], [0, 2]]
    for form in (codes, np.array(codes, np.uint64), jnp.array(codes), ((1, 0), (0, 2))):
        assert TrieIndex.from_codes(form).codes_per_level == (2, 3)


BAD_CODES = {
    "empty": ([], "shape"),
    "no items": (np.zeros((0, 3), int), "at least one item"),
    "no levels": (np.zeros((3, 0), int), "0 levels"),
    "too deep": (np.zeros((3, 65), int), "65 levels"),
    "one axis": ([1, 2], r"shape \(2,\)"),
    "three axes": (np.zeros((2, 2, 2), int), r"shape \(2, 2, 2\)"),
    "float": ([[0.0, 1.0]], "dtype float64"),
    "bool": ([[True]], "dtype bool"),
    "strings": ([["1"]], "dtype <U1"),
    "huge": ([[2**70]], "dtype object"),
    "ragged": ([[0, 1], [2]], "different lengths"),
    "negative": ([[0, 1], [3, -2]], r"codes\[1, 1\]: found -2"),
    "beyond int32": ([[0], [2**31]], r"codes\[1, 0\]: found 2147483648"),
    "too many items": (np.broadcast_to(np.int8(0), (2**31, 1)), "2147483648 items"),
}


@pytest.mark.parametrize("name", BAD_CODES)
def test_bad_codes_are_named(name: str) -> None:
    codes, message = BAD_CODES[name]
    with pytest.raises(GenretError, match=message) as raised:
        TrieIndex.from_codes(codes)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((2, 2), r"codes\[1, 1\]: found 2, expected a code below 2"),
        ((2,), "expected 2 integers"),
        ((2, 3.0), "expected 2 integers"),
        ((2, 0), r"codes_per_level\[1\]: found 0"),
        ((2, 2**31), r"codes_per_level\[1\]: found 2147483648"),
    ],
)
def test_bad_counts_are_named(counts: tuple, message: str) -> None:
    with pytest.raises(GenretError, match=message):
        TrieIndex.from_codes([[0, 1], [1, 2]], codes_per_level=counts)


def test_an_index_goes_through_transformations() -> None:
    index = TrieIndex.from_codes([[0, 1], [2, 1]], ["a", "b"])
    again = jax.jit(lambda x: x)(index)
    assert again.num_nodes == index.num_nodes
    assert again.item_ids is None
    assert jax.tree.map(lambda x: x.shape, index).rows == (2,)

    def rows(items: jax.Array) -> jax.Array:
        return index.row_of_item[items]  # cached while tracing: must not hold a tracer

    assert jax.jit(rows)(jnp.array([1])).tolist() == [1]
    assert index.row_of_item.tolist() == [0, 1]
