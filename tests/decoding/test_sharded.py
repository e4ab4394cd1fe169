"""An index in parts on several devices: it answers as the whole one does, bit for bit."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genret.decoding import beam_search, exact_search, score_items
from genret.decoding.sharded import best_of_parts
from genret.errors import GenretError
from genret.index import FilterStack, ItemFilter, LiveIndex, TrieIndex, legal_codes
from genret.testing import TableModel, random_codes
from tests.decoding.conftest import RULES, exact_model

COUNTS = (6, 5, 40)
ITEMS, BATCH, BEAMS, SEEN = 90, 3, 12, 5
MESH = Mesh(np.array(jax.devices()[:3]), ("items",))


def codes_of(seed: int, items: int = ITEMS) -> np.ndarray:
    """Draw a catalog: alone, skewed, or many items to a semantic ID; in any order."""
    kind = ("uniform", "zipf", "duplicates")[seed % 3]
    codes = random_codes(items, COUNTS, kind, seed=seed)
    if seed % 4 == 1:  # one prefix over all cuts
        codes[:, 0] = 2
    return codes


def assert_equal(a: Any, b: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


def both(index: TrieIndex, seed: int, mesh: Mesh = MESH, **options: Any) -> None:
    """Search the whole index and the parts under drawn restrictions; changed ones too."""
    rng = np.random.default_rng(seed)
    model = exact_model(COUNTS, seed, spread=(3, 60)[seed % 2])
    masks = rng.random((2, index.num_items)) < rng.choice([0.05, 0.5, 1.0], (2, 1))
    arguments = {
        "beams": BEAMS,
        "filter_of": rng.integers(0, 2, BATCH),
        "exclude": rng.integers(-1, index.num_items, (BATCH, SEEN)),
        "beams_of": rng.integers(0, BEAMS + 1, BATCH),
        **options,
    }
    found = []
    for one in (index, index.shard(mesh, "items")):
        filters = [ItemFilter.from_mask(one, mask) for mask in masks]
        found.append(beam_search(model, jnp.arange(BATCH), one, filters=filters, **arguments))
    assert_equal(*found)
    assert np.asarray(found[0].valid).any()


@pytest.mark.slow
@pytest.mark.parametrize("tail", [None, "auto"])
def test_the_answers_are_those_of_the_whole_index(tail: str | None) -> None:
    both(
        TrieIndex.from_codes(codes_of(1), codes_per_level=COUNTS, rules=RULES["auto"]), 1, tail=tail
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("stored", RULES)
def test_the_answers_are_those_of_the_whole_index_always(stored: str, seed: int) -> None:
    items = (1, 2, 7, ITEMS)[seed % 4]
    index = TrieIndex.from_codes(codes_of(seed, items), codes_per_level=COUNTS, rules=RULES[stored])
    mesh = Mesh(np.array(jax.devices()[: 2 + seed % 7]), ("items",))
    both(index, seed, mesh, tail=(None, "auto", 5)[seed % 3])


@pytest.mark.slow
def test_items_come_and_go_in_parts() -> None:
    ids = [f"item {n}" for n in range(ITEMS)]
    whole = TrieIndex.from_codes(codes_of(2), ids, codes_per_level=COUNTS)
    more, model = codes_of(3, 20), exact_model(COUNTS, 2, spread=3)
    found, left = [], []
    for index in (whole, whole.shard(MESH, "items")):
        live = LiveIndex(index, rules=RULES["auto"]).remove(ids[:9])
        live = live.insert(more, [f"new {n}" for n in range(20)]).remove(["new 3"])
        fresh = ItemFilter.from_items(live, ["new 1", "new 2", *ids[10:70]])
        options = {"filters": fresh, "exclude": np.array([[1, 91], [-1, 20], [92, 92]])}
        found.append(beam_search(model, jnp.arange(BATCH), live, beams=BEAMS, **options))
        left.append(live.compact().base)
    assert_equal(*found)
    assert (np.asarray(found[0].items) >= ITEMS).any()
    assert left[1].trie.parts.size == MESH.size
    np.testing.assert_array_equal(left[0].item_ids, left[1].item_ids)
    np.testing.assert_array_equal(*(index.codes_of(np.arange(ITEMS)) for index in left))


def test_requests_and_items_over_two_axes() -> None:
    mesh = jax.make_mesh((2, 3), ("data", "items"), devices=jax.devices()[:6])
    whole = TrieIndex.from_codes(codes_of(0), codes_per_level=COUNTS)
    model, history = exact_model(COUNTS, 0, spread=3), jnp.arange(4)
    options = {"beams": BEAMS, "exclude": np.arange(8).reshape(4, 2)}
    rows = jax.device_put(history, NamedSharding(Mesh(mesh.devices, mesh.axis_names), P("data")))
    split = beam_search(model, rows, whole.shard(mesh, "items"), **options)
    assert_equal(split, beam_search(model, history, whole, **options))
    with pytest.raises(GenretError, match="other axes than 'items'"):
        beam_search(model, rows, whole.shard(MESH, "items"), beams=2)


def test_messages_are_the_best_of_each_level_and_memory_is_a_part() -> None:
    counts, items = (16, 16, 64), 20_000
    whole = TrieIndex.from_codes(random_codes(items, counts, seed=0), codes_per_level=counts)
    index = whole.shard(MESH, "items")
    for device in MESH.devices:
        own = [
            shard.data.nbytes
            for leaf in jax.tree.leaves(index)
            for shard in leaf.addressable_shards
            if shard.device == device
        ]
        assert sum(own) == pytest.approx(whole.nbytes / MESH.size, rel=0.05)
    model = jax.device_put(TableModel.random(counts, seed=0), NamedSharding(MESH, P()))
    stack = FilterStack.of(index, [ItemFilter.from_mask(index, np.arange(items) % 2 == 0)])

    def search(model: Any, history: Any, index: TrieIndex, stack: FilterStack, seen: Any) -> Any:
        return beam_search(model, history, index, beams=8, filters=stack, exclude=seen)

    arguments = model, jnp.arange(2), index, stack, jnp.zeros((2, 3), jnp.int32)
    text = jax.jit(search).lower(*arguments).compile().as_text()
    assert 1 <= len(re.findall(r" all-gather(?:-start)?\(", text)) <= len(counts) + 2
    for other in ("all-reduce", "all-to-all", "collective-permute", "reduce-scatter"):
        assert other not in text
    copied = re.findall(r"= \w+\[([\d,]*)\]\S* copy\(", text)
    sizes = [np.prod([int(n) for n in shape.split(",") if n], initial=1) for shape in copied]
    assert max(sizes, default=0) < items / MESH.size / 32


def test_it_says_on_the_host_what_the_whole_one_says() -> None:
    codes = codes_of(5)
    whole = TrieIndex.from_codes(codes, codes_per_level=COUNTS)
    index = whole.shard(MESH, "items")
    assert (index.num_items, index.num_nodes) == (whole.num_items, whole.num_nodes)
    assert index.catalog_checksum == whole.catalog_checksum
    for prefix in ((), (2,), tuple(codes[7, :2].tolist()), tuple(codes[7].tolist()), (5, 4, 39)):
        np.testing.assert_array_equal(index.items_below(prefix), whole.items_below(prefix))
        if len(prefix) < len(COUNTS):
            assert index.codes_after(prefix) == whole.codes_after(prefix)
    np.testing.assert_array_equal(index.codes_of(np.arange(ITEMS)), codes)


def test_a_catalog_that_fits_keeps_the_program() -> None:
    def index_of(seed: int, like: TrieIndex | None) -> TrieIndex:
        rng = np.random.default_rng(seed)
        codes = np.stack([rng.permutation(64) // 16, np.arange(64) % 16], axis=1)
        return TrieIndex.from_codes(codes, codes_per_level=(4, 16), like=like, reserve=0.5)

    first = index_of(0, None).shard(MESH, "items")
    second = index_of(1, first)
    assert jax.tree.structure(first) == jax.tree.structure(second)
    assert [x.shape for x in jax.tree.leaves(first)] == [x.shape for x in jax.tree.leaves(second)]


def test_a_child_of_two_parts_is_taken_once() -> None:
    scores = jnp.array([[-1.0, -1.0, -jnp.inf, -1.0, -2.0, -jnp.inf]])
    parents, codes = jnp.array([[0, 1, 0, 0, 1, 0]]), jnp.array([[4, 4, 0, 4, 3, 0]])
    found = best_of_parts(scores, parents, codes, 4)
    assert [x.tolist()[0][:3] for x in found] == [[-1.0, -1.0, -2.0], [0, 1, 1], [4, 4, 3]]
    assert found[0][0, 3] == -jnp.inf


def test_what_needs_a_whole_index_says_so(tmp_path: Any) -> None:
    model = exact_model(COUNTS, 0, spread=3)
    whole = TrieIndex.from_codes(codes_of(0), codes_per_level=COUNTS)
    index = whole.shard(MESH, "items")
    with pytest.raises(GenretError, match="axis: found 'rows', expected one of items"):
        whole.shard(MESH, "rows")
    with pytest.raises(GenretError, match="shard: found an index in 3 parts"):
        index.shard(MESH, "items")
    with pytest.raises(GenretError, match="save: found an index in 3 parts"):
        index.save(tmp_path / "index")
    with pytest.raises(GenretError, match="exact_search: found an index in 3 parts"):
        exact_search(model, jnp.arange(2), index, top=3)
    with pytest.raises(GenretError, match="score_items: found an index in 3 parts"):
        score_items(model, jnp.arange(2), index, jnp.zeros((2, 1), jnp.int32))
    with pytest.raises(GenretError, match="legal_codes: found an index in 3 parts"):
        legal_codes(index, jnp.zeros((1, 0), jnp.int32))
    with pytest.raises(GenretError, match="normalize: found 'legal' with an index in parts"):
        beam_search(model, jnp.arange(2), index, beams=3, normalize="legal")
