"""The index against the dictionary trie, at every prefix, and what it refuses to be built from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genret.errors import GenretError
from genret.index import LayoutRules, TrieIndex
from genret.index.build import columns_of, sort_rows
from genret.index.levels import DenseLevel
from genret.semantic_ids import SemanticIds
from genret.testing import DictTrie, random_codes


@st.composite
def catalogs(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...]]:
    """Draw codes of any skew: whole rows are repeated, and levels have from 1 to 70,000 codes."""
    counts = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 7, 70_000]), min_size=1, max_size=6)))
    row = st.tuples(*(st.integers(0, min(count, 5) - 1) for count in counts))
    rows = draw(st.lists(row, min_size=1, max_size=40))
    codes = np.array(rows, dtype=draw(st.sampled_from([np.int8, np.uint16, np.int64])))
    return codes, counts


def check_against_oracle(index: TrieIndex, codes: np.ndarray) -> None:
    """Compare nodes, children, rows, items and masks at every prefix."""
    trie = DictTrie(codes)
    segment = index.trie
    rows = np.asarray(segment.position_of(padded(np.arange(len(codes)))))
    prefixes: list[tuple[int, ...]] = [()]
    for level in range(index.depth + 1):
        assert prefixes == trie.prefixes(level)
        assert index.num_nodes[level] == len(prefixes)
        ranges = segment.row_range(level, padded(np.arange(len(prefixes))))
        lo, hi = (np.asarray(x)[: len(prefixes)] for x in ranges)
        for node, prefix in enumerate(prefixes):
            assert rows[lo[node] : hi[node]].tolist() == trie.items(prefix)
        if level == index.depth:
            continue
        stored = segment.levels[level]
        first, last = (
            np.asarray(stored.edge_of_row(padded(x)))[: len(prefixes)] for x in (lo, hi - 1)
        )
        children = [trie.children(prefix) for prefix in prefixes]
        found = np.asarray(stored.codes)
        for node, below in enumerate(children):
            assert found[first[node] : last[node] + 1].tolist() == below
            if isinstance(stored, DenseLevel):
                words = np.ascontiguousarray(stored.masks[node])
                bits = np.unpackbits(words.view(np.uint8), bitorder="little")
                assert np.flatnonzero(bits).tolist() == below
        # The child along an edge is the edge: the next level's nodes are in the order of the edges.
        parents = np.repeat(np.arange(len(prefixes)), [len(below) for below in children])
        codes_below = [code for below in children for code in below]
        prefixes = [(*prefixes[n], c) for n, c in zip(parents, codes_below, strict=True)]
        # The rows of each child, found among those of its parent.
        inside = padded(lo[parents]), padded(hi[parents])
        edges = np.arange(parents.size)
        begins, ends = map(np.asarray, stored.rows_of(padded(edges), *inside))
        for edge, prefix in enumerate(prefixes):
            assert rows[begins[edge] : ends[edge]].tolist() == trie.items(prefix)


def padded(values: np.ndarray) -> jax.Array:
    """Pad to few different shapes: each one is a program of its own."""
    size = 64 if values.size <= 64 else 1024
    return jnp.asarray(np.pad(values, (0, size - values.size)), jnp.int32)


@settings(max_examples=15)
@given(catalogs())
@example((np.array([[0]]), (1,)))
@example((np.zeros((5, 3), np.int32), (1, 1, 1)))
def test_lookups_equal_the_dictionary_trie(
    catalog: tuple[np.ndarray, tuple[int, ...]],
) -> None:
    codes, counts = catalog
    index = TrieIndex.from_codes(codes, codes_per_level=counts)
    check_against_oracle(index, codes)
    assert index.num_items == len(codes)
    row_of_item = index.row_of_item
    if row_of_item is not None:  # else the codes came sorted
        positions = np.asarray(index.trie.positions)
        assert positions[np.asarray(row_of_item)[: len(codes)]].tolist() == list(range(len(codes)))
    for level, count in zip(index.trie.levels, counts, strict=True):
        fits = jnp.uint8 if count <= 2**8 else jnp.uint16 if count <= 2**16 else jnp.uint32
        assert level.codes.dtype == fits
    np.testing.assert_array_equal(index.codes_of(np.arange(len(codes))), codes)


@pytest.mark.parametrize("kind", ["uniform", "zipf", "duplicates"])
def test_lookups_of_larger_tries(kind: str) -> None:
    codes = random_codes(700, (9, 200, 4, 30), kind, seed=3)
    check_against_oracle(TrieIndex.from_codes(codes), codes)


@pytest.mark.parametrize("kind", ["uniform", "zipf"])
def test_every_way_to_store_a_level(kind: str) -> None:
    codes = random_codes(900, (6, 30, 50), kind, seed=4)
    kinds = set()
    for ratio, rows in [(64, 32), (0, 32), (0, 0), (2, 8)]:
        rules = LayoutRules(
            dense_ratio=ratio, window_rows=rows, single_rows=min(1, rows), few_edges=ratio
        )
        index = TrieIndex.from_codes(codes, rules=rules)
        check_against_oracle(index, codes)
        kinds |= set(index.stored_as)
    assert kinds == {"dense", "ragged"} | ({"window"} if kind == "uniform" else set())


def test_a_refreshed_index_keeps_its_shapes_while_it_fits() -> None:
    counts = (30, 40, 40)
    index = TrieIndex.from_codes(
        random_codes(600, counts, seed=0), codes_per_level=counts, reserve=0.2
    )
    shapes = jax.tree.map(jnp.shape, index)
    for seed, size in [(1, 600), (2, 500), (3, 680)]:
        codes = random_codes(size, counts, seed=seed)
        again = TrieIndex.from_codes(codes, like=index)
        assert jax.tree.structure(again) == jax.tree.structure(index)
        assert jax.tree.map(jnp.shape, again) == shapes
        check_against_oracle(again, codes)
    larger = TrieIndex.from_codes(random_codes(2700, counts, seed=4), like=index)
    assert larger.num_items == 2700
    assert jax.tree.map(jnp.shape, larger) != shapes
    with pytest.raises(GenretError, match="like: found an index of"):
        TrieIndex.from_codes([[1]], like=index, codes_per_level=(2,))


def test_semantic_ids_may_end_early() -> None:
    codes = [[5, 1, 0], [5, 0, -1], [3, 2, 2], [3, 2, 0], [5, 0, 7]]
    index = TrieIndex.from_codes(codes, end_code=0)
    assert index.codes_after((5,)) == [0, 1]
    assert index.items_below((5, 0)).tolist() == [1, 4]
    assert index.codes_of([1, 4]).tolist() == [[5, 0, 0], [5, 0, 0]]
    for bad, end, message in [
        ([[0, 1]], 0, "an empty semantic ID"),
        ([[1, -1]], 0, "found -1"),
        ([[1, 1]], -1, "end_code: found -1"),
        ([[1, 1]], True, "end_code: found True"),
    ]:
        with pytest.raises(GenretError, match=message):
            TrieIndex.from_codes(bad, end_code=end)
    # A code that the type of the codes cannot hold ends nothing.
    TrieIndex.from_codes(np.array([[1, 1]], np.int8), end_code=4000)


def test_codes_in_batches() -> None:
    codes = random_codes(500, (300, 7, 70_000), seed=5)
    whole = TrieIndex.from_codes(codes)
    batches = (codes[i : i + 64] for i in range(0, 500, 64))
    for a, b in zip(
        jax.tree.leaves(whole), jax.tree.leaves(TrieIndex.from_batches(batches)), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    for bad, message in [
        ([], "batches: found none"),
        ([[[1, 2]], [[1]]], r"batches\[1\]: found 1 levels"),
        ([[[1, 2]], [[1.0, 2]]], r"batches\[1\]: found float64"),
        ([[[1, 2]], [[-1, 2]]], r"codes\[1, 0\]: found -1"),
    ]:
        with pytest.raises(GenretError, match=message):
            TrieIndex.from_batches(bad)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=9))
def test_rows_are_sorted_whatever_the_number_of_bits(seed: int, counts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.choice([0, count - 1, count // 2], 30) for count in counts], axis=1)
    expected = sorted(range(30), key=lambda row: (*codes[row].tolist(), row))
    rows = sort_rows(columns_of(codes, counts), counts)
    found = list(range(30)) if rows is None else rows.tolist()
    assert found == expected
    assert sort_rows(columns_of(codes[expected], counts), counts) is None


def test_the_index_of_sorted_codes_is_that_of_unsorted_ones() -> None:
    codes = random_codes(200, (5, 5, 5), seed=1)
    order = np.lexsort(codes.T[::-1])
    unsorted, sorted_ = TrieIndex.from_codes(codes), TrieIndex.from_codes(codes[order])
    one, two = unsorted.trie, sorted_.trie
    for a, b in zip(jax.tree.leaves(one.levels), jax.tree.leaves(two.levels), strict=True):
        np.testing.assert_array_equal(a, b)
    assert two.positions is None
    np.testing.assert_array_equal(order, np.asarray(one.positions)[:200])


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
    index = TrieIndex.from_codes([[2, 1], [0, 1]], ["a", "b"])
    again = jax.jit(lambda x: x)(index)
    assert again.num_nodes == index.num_nodes
    assert again.item_ids is None
    assert again.num_items == 2
    for ask in (lambda: again.ids_of([0]), lambda: again.positions_of(["a"])):
        with pytest.raises(GenretError, match="has been through a JAX transformation"):
            ask()

    def rows(items: jax.Array) -> jax.Array:
        return index.row_of_item[items]  # cached while tracing: must not hold a tracer

    assert jax.jit(rows)(jnp.array([1])).tolist() == [0]
    assert index.row_of_item[:2].tolist() == [1, 0]


def test_semantic_ids_carry_their_counts_end_code_and_ids() -> None:
    items = SemanticIds.from_codes([[1, 0], [0, 2]], ["a", "b"], codes_per_level=(3, 4))
    index = TrieIndex.from_codes(items)
    assert index.codes_per_level == (3, 4)
    assert index.ids_of(index.items_below((0,))).tolist() == ["b"]
    ended = SemanticIds.from_codes([[1, 0, 5], [0, 2, 1]], end_code=2)
    assert TrieIndex.from_codes(ended).end_code == 2
    with pytest.raises(GenretError, match="codes_per_level: found"):
        TrieIndex.from_codes(items, codes_per_level=(5, 5))
