"""The search as a compiled program: reuse, sharding, transformations; and bad arguments."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genret.decoding import beam_search
from genret.decoding.search import _search
from genret.errors import GenretError
from genret.index import FilterStack, ItemFilter, LiveIndex, TrieIndex
from genret.testing import TableModel, protocol_logits, random_codes

COUNTS = (6, 6, 6)
CODES = random_codes(64, COUNTS, seed=1)


@pytest.fixture(scope="module")
def index() -> TrieIndex:
    return TrieIndex.from_codes(CODES, codes_per_level=COUNTS)


@pytest.fixture(scope="module")
def model() -> TableModel:
    return TableModel.random(COUNTS, seed=0)


def assert_equal(a: Any, b: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_second_call_of_equal_shapes_compiles_nothing(index: TrieIndex) -> None:
    def search(seed: int, num_filters: int) -> Any:
        rng = np.random.default_rng(seed)
        masks = rng.random((num_filters, 64)) < 0.5
        return beam_search(
            TableModel.random(COUNTS, seed=seed), jnp.array([seed, 1]), index, beams=5,
            filters=[ItemFilter.from_mask(index, mask) for mask in masks], filter_of=[0, 2],
            exclude=rng.integers(-1, 64, (2, 3)),
        )  # fmt: skip

    first = search(0, 3)
    compiled = _search._cache_size()
    assert not np.array_equal(search(1, 3).items, first.items)
    search(2, 4)  # another number of filters, up to the next power of two
    assert _search._cache_size() == compiled


def test_data_parallel_over_eight_devices(index: TrieIndex, model: TableModel) -> None:
    mesh = Mesh(np.array(jax.devices()), ("data",))
    assert mesh.size == 8
    over_batch, everywhere = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
    history = jnp.arange(16, dtype=jnp.int32)
    rng = np.random.default_rng(0)
    stack = FilterStack.of(
        index, [ItemFilter.from_mask(index, m) for m in rng.random((2, 64)) < 0.5]
    )
    filter_of, exclude = jnp.arange(16) % 2, jnp.array(rng.integers(-1, 64, (16, 4)))
    alone = beam_search(
        model, history, index, beams=9, filters=stack, filter_of=filter_of, exclude=exclude
    )
    # A stack that went to the devices no longer knows its size on the host; P says it.
    put = jax.device_put
    sharded = beam_search(
        put(model, everywhere), put(history, over_batch), put(index, everywhere), beams=9,
        filters=put(stack, everywhere), filter_of=put(filter_of, over_batch),
        exclude=put(exclude, over_batch),
    )  # fmt: skip
    assert_equal(alone, sharded)
    assert sharded.items.sharding.is_equivalent_to(over_batch, 2)


@pytest.mark.parametrize(
    ("restricted", "stored"),
    [
        pytest.param(False, "auto", marks=pytest.mark.slow),
        (True, "auto"),
        pytest.param(True, "ragged", marks=pytest.mark.slow),
    ],
)
def test_data_parallel_needs_no_communication(
    make_index: Callable, model: TableModel, restricted: bool, stored: str
) -> None:
    index = make_index(CODES, stored, codes_per_level=COUNTS)
    mesh = Mesh(np.array(jax.devices()), ("data",))
    over_batch, everywhere = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
    history = jax.device_put(jnp.arange(16, dtype=jnp.int32), over_batch)
    arguments: dict[str, Any] = {}
    if restricted:
        stack = FilterStack.of(index, [ItemFilter.from_items(index, [1, 2])])
        exclude, beams_of = jnp.ones((16, 5), jnp.int32), jnp.full(16, 3, jnp.int32)
        own = {"filter_of": jnp.zeros(16, jnp.int32), "exclude": exclude, "beams_of": beams_of}
        arguments = jax.device_put(own, over_batch)
        arguments["filters"] = jax.device_put(stack, everywhere)
    model, index = jax.device_put((model, index), everywhere)

    def search(model: TableModel, history: jax.Array, index: TrieIndex, arguments: Any) -> Any:
        options: dict[str, Any] = {"beams": 9, "mesh": mesh, **arguments}
        legal = beam_search(model, history, index, normalize="legal", **options)
        return legal, beam_search(model, history, index, tail="auto", **options)

    text = jax.jit(search).lower(model, history, index, arguments).compile().as_text()
    for collective in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert collective not in text


@pytest.mark.slow
def test_a_history_over_explicit_axes_says_so_inside_a_jitted_function(
    index: TrieIndex, model: TableModel
) -> None:
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2)
    history = jnp.arange(8, dtype=jnp.int32)
    key = jax.random.key(0)
    options: dict[str, Any] = {"beams": 3, "normalize": "legal", "sample": key}
    alone = beam_search(model, history, index, **options)
    history = jax.device_put(history, NamedSharding(mesh, P("data")))
    everywhere = jax.device_put((model, index), NamedSharding(mesh, P()))
    assert_equal(beam_search(everywhere[0], history, everywhere[1], **options), alone)
    search = jax.jit(lambda model, history, index: beam_search(model, history, index, **options))
    assert_equal(search(everywhere[0], history, everywhere[1]), alone)


def test_inside_a_jitted_function(index: TrieIndex, model: TableModel) -> None:
    @jax.jit
    def items(history: jax.Array, exclude: jax.Array) -> jax.Array:
        return beam_search(model, history, index, beams=4, exclude=exclude).items

    history, exclude = jnp.array([3, 4]), jnp.array([[1, 2], [5, -1]])
    outside = beam_search(model, history, index, beams=4, exclude=exclude)
    assert_equal(items(history, exclude), outside.items)
    with pytest.raises(GenretError, match="inside a JAX transformation"):
        jax.jit(lambda h: beam_search(model, h, index, beams=4, check=True).items)(history)


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("plain", r"i32\[64\] = scatter"),
        ("live", r"i32\[64\] = scatter"),
        ("in parts", r"i32\[8,8\] \w+:i32\[8,8\] = sort"),
    ],
)
def test_rows_of_items_are_not_made_in_every_call(
    index: TrieIndex, model: TableModel, kind: str, made: str
) -> None:
    whole: Any = LiveIndex(index, insert_capacity=8) if kind == "live" else index
    if kind == "in parts":
        whole = index.shard(Mesh(np.array(jax.devices()), ("items",)), "items")
    ready = whole.with_rows()

    def search(index: Any) -> Any:
        seen = np.array([[3, -1, 9], [63, 0, 5]])
        return beam_search(model, jnp.array([0, 1]), index, beams=5, exclude=seen)

    def makes_rows(index: Any) -> bool:
        return re.search(made, str(jax.make_jaxpr(search)(index))) is not None

    assert makes_rows(whole)  # as an argument; else they are kept
    assert not makes_rows(ready)
    expected = search(whole)
    assert_equal(search(ready), expected)
    assert_equal(jax.jit(search)(ready), expected)
    assert ready.version is whole.version  # filters of the one serve the other


def test_one_filter_needs_no_choice(index: TrieIndex, model: TableModel) -> None:
    item_filter = ItemFilter.from_items(index, [3, 4, 5])
    history = jnp.array([3, 4])
    expected = beam_search(model, history, index, beams=4, filters=[item_filter], filter_of=[0, 0])
    assert sorted(expected.items[0].tolist()) == [-1, 3, 4, 5]
    assert_equal(beam_search(model, history, index, beams=4, filters=[item_filter]), expected)
    assert_equal(beam_search(model, history, index, beams=4, filters=item_filter), expected)


def test_the_oracle_can_ask_through_the_protocol(model: TableModel) -> None:
    logits_of = protocol_logits(model, jnp.array([9]))
    for prefix in ((3, 1), (), (3,), (3, 2)):
        expected = model.logits_after(jnp.array([9]), 0, prefix)
        np.testing.assert_array_equal(logits_of(prefix), expected)


BAD_ARGUMENTS = {
    "no beams": ({"beams": 0}, "beams: found 0"),
    "beams of another type": ({"beams": True}, "beams: found True"),
    "an unknown item": ({"exclude": [[64], [0]]}, "exclude: found 64, expected -1 to 63"),
    "a negative item": ({"exclude": [[-2], [0]]}, "exclude: found -2"),
    "ragged exclusions": ({"exclude": [[1], [0, 2]]}, "pad them with -1"),
    "exclusions of one axis": ({"exclude": [1, 2]}, "exclude: found int64"),
    "exclusions of floats": ({"exclude": [[1.0], [2.0]]}, "exclude: found float64"),
    "exclusions of another batch": ({"exclude": [[1]]}, "exclude: found 1 requests"),
    "a bad item on the device": (
        {"exclude": jnp.array([[64], [0]]), "check": True},
        "exclude: found 64",
    ),
    "too many beams": ({"beams_of": [4, 5]}, "beams_of: found 5, expected 0 to 4"),
    "no filters": ({"filters": []}, "filters: found none"),
    "a choice of nothing": ({"filter_of": [0, 0]}, "filter_of: found, but no filters"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments_are_named(index: TrieIndex, model: TableModel, name: str) -> None:
    arguments, message = BAD_ARGUMENTS[name]
    with pytest.raises(GenretError, match=message) as raised:
        beam_search(model, jnp.array([1, 2]), index, **({"beams": 4} | arguments))
    assert "\n" not in str(raised.value)


def test_bad_choices_of_filters_are_named(index: TrieIndex, model: TableModel) -> None:
    filters = [ItemFilter.from_items(index, [i]) for i in range(3)]
    other = TrieIndex.from_codes(CODES[::-1], codes_per_level=COUNTS)
    for arguments, message in (
        ({"filters": filters}, "filter_of: left out"),
        ({"filters": filters, "filter_of": [0, 3]}, "filter_of: found 3, expected 0 to 2"),
        ({"filters": filters, "filter_of": [0]}, "filter_of: found 1 requests"),
        ({"filters": [ItemFilter.from_items(other, [0])]}, "another index"),
        ({"filters": FilterStack.of(other, [ItemFilter.from_items(other, [0])])}, "another index"),
    ):
        with pytest.raises(GenretError, match=message):
            beam_search(model, jnp.array([1, 2]), index, beams=4, **arguments)


def test_a_model_of_fewer_codes_is_refused(index: TrieIndex) -> None:
    with pytest.raises(GenretError, match="readout of level 1 has 5 codes, the index has 6"):
        beam_search(TableModel.random((6, 5, 6), seed=0), jnp.array([1]), index, beams=2)


def test_nan_is_found_when_asked_for_and_never_answers(index: TrieIndex, model: TableModel) -> None:
    tables = [np.asarray(t).copy() for t in model.tables]
    tables[1][:, 2] = np.nan
    broken = TableModel.of(tables)
    history = jnp.array([1, 2])
    with pytest.raises(GenretError, match="NaN in the readout of level 1, request 0"):
        beam_search(broken, history, index, beams=4, check=True)
    result = beam_search(broken, history, index, beams=4)
    assert not np.isnan(result.scores).any()
    assert not result.valid.any()  # every distribution of level 1 is NaN


def test_nan_of_beams_that_are_not_alive_is_nobodys_fault() -> None:
    """One item, four beams: three are padding, and the model may say of them what it likes."""

    class Padded(TableModel):
        def step(self, codes: Any, parents: Any, cache: Any) -> Any:
            logits, cache = super().step(codes, parents, cache)
            return logits.at[:, 1:].set(jnp.nan), cache

    jax.tree_util.register_dataclass(Padded, ("tables",), ())
    model = Padded(tables=TableModel.random((3, 3), seed=0).tables)
    index = TrieIndex.from_codes([[1, 2]])
    result = beam_search(model, jnp.array([1]), index, beams=4, check=True)
    assert result.valid.tolist() == [[True, False, False, False]]


def test_the_index_and_the_filters_may_be_traced(index: TrieIndex, model: TableModel) -> None:
    item_filter = ItemFilter.from_mask(index, np.arange(64) % 3 == 0)
    stack = FilterStack.of(index, [item_filter])
    history = jnp.array([3, 4])

    def search(index: TrieIndex, filters: Any) -> Any:
        return beam_search(model, history, index, beams=5, filters=filters)

    expected = search(index, [item_filter])
    assert_equal(jax.jit(search)(index, stack), expected)
    # A stack that is closed over still says what it was made for; the traced index does not.
    assert_equal(jax.jit(lambda index: search(index, stack))(index), expected)
    other = TrieIndex.from_codes(CODES[:40], codes_per_level=COUNTS)
    with pytest.raises(GenretError, match="made for another index"):
        search(other, item_filter)
    with pytest.raises(GenretError, match="stacked for another index"):
        search(other, stack)
