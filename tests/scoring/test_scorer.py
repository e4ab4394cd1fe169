"""Scorer: the search's answers, whatever the batch, the devices and the memory."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.config import EngineConfig, ItemDecoderConfig, ScoreConfig
from genret.errors import GenretError
from genret.histories import Histories
from genret.index import ItemFilter, TrieIndex
from genret.models import build_model
from genret.recommend import Answers, Engine, Recommender, widths_of
from genret.recommend._decode import Placement, Users
from genret.scoring import Scorer
from genret.scoring._scorer import devices_of
from genret.testing import TableModel

SIZES = (9, 8)
RNG = np.random.default_rng(0)
CODES = np.stack([RNG.integers(0, size, 60) for size in SIZES], axis=1).astype(np.int32)
INDEX = TrieIndex.from_codes(CODES, codes_per_level=SIZES)
MAX_ITEMS = 5
TABLE = TableModel.random(SIZES, seed=2)
"""A model that compiles quickly."""
MODEL = build_model(
    ItemDecoderConfig(
        codes_per_level=SIZES, width=16, layers=1, heads=2, kv_heads=2, head_dim=8, mlp_dim=32,
        max_items=MAX_ITEMS,
    ),
    1,
)  # fmt: skip
ONE = EngineConfig(all_devices=False, users_per_batch=32)
EVEN = ItemFilter.from_mask(INDEX, np.arange(60) % 2 == 0)
FEW = ItemFilter.from_mask(INDEX, np.arange(60) < 3)


def scorer(
    engine: EngineConfig = ONE,
    filters: Any = None,
    model: Any = MODEL,
    max_items: int = MAX_ITEMS,
    **options: Any,
) -> Scorer:
    config = ScoreConfig(**{"k": 4, "beams": 6, "decode_batch": 8, "exclude_seen": True} | options)
    shop = Recommender(
        model, INDEX, max_items=max_items, devices=devices_of(config, engine),
        model_parallel=config.model_parallel,
    )  # fmt: skip
    return Scorer(shop, config, filters, users_per_batch=engine.users_per_batch)


def table(engine: EngineConfig = ONE, filters: Any = None, **options: Any) -> Scorer:
    return scorer(engine, filters, TABLE, 4, **options)


ALONE = scorer()
"""One scorer for many tests: its programs are compiled once."""
PLAIN = table()


def users(count: int, seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 60, rng.integers(0, 13)).tolist() for _ in range(count)]


def assert_same(found: Answers, expected: Answers) -> None:
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)  # every bit


def test_equals_the_plain_search() -> None:
    lists = Histories.from_lists([*users(50), [], [7] * 100, list(range(58))])
    found = ALONE.score(lists)
    plain = ALONE.recommender.recommend_many(lists, k=4, beams=6)
    np.testing.assert_array_equal(found.items, plain.items)
    np.testing.assert_allclose(found.scores, plain.scores, rtol=1e-5)
    assert len(ALONE.programs) <= 8


@pytest.mark.any_settings
@pytest.mark.parametrize("make", [table, pytest.param(scorer, marks=pytest.mark.slow)])
def test_scores_under_the_settings_of_the_user(make: Any) -> None:
    lists = Histories.from_lists([*users(10), [], [7] * 100])
    asked = make()
    found = asked.score(lists)
    plain = asked.recommender.recommend_many(lists, k=4, beams=6)
    np.testing.assert_array_equal(found.items, plain.items)
    np.testing.assert_allclose(found.scores, plain.scores, rtol=1e-5)
    assert (found.items.dtype, found.scores.dtype) == (np.int32, np.float32)


@settings(max_examples=15)
@given(st.lists(st.lists(st.integers(0, 59), max_size=15), max_size=40), st.randoms())
def test_an_answer_does_not_depend_on_who_else_is_asked(
    lists: list[list[int]], random: Any
) -> None:
    whole = ALONE.score(Histories.from_lists(lists))
    order = list(range(len(lists)))
    random.shuffle(order)
    shuffled = ALONE.score(Histories.from_lists([lists[i] for i in order]))
    for place, user in enumerate(order):
        np.testing.assert_array_equal(shuffled.items[place], whole.items[user])
        np.testing.assert_array_equal(shuffled.scores[place], whole.scores[user])


@pytest.mark.parametrize(
    "engine",
    [{"users_per_batch": 8}, pytest.param({"users_per_batch": 24}, marks=pytest.mark.slow)],
)
def test_every_bit_is_the_same_for_any_batch_size(engine: dict[str, int]) -> None:
    lists = Histories.from_lists(users(70))
    found = scorer(EngineConfig(all_devices=False, **engine)).score(lists)
    assert_same(found, ALONE.score(lists))


@pytest.mark.slow
def test_eight_devices_answer_the_same_without_asking_each_other() -> None:
    lists = Histories.from_lists(users(90))
    many = scorer(EngineConfig(users_per_batch=64))
    assert many.users_per_batch == 64
    found, alone = many.score(lists), ALONE.score(lists)
    np.testing.assert_array_equal(found.items, alone.items)
    # One device and several run two programs, and an optimizing compiler may fuse these differently:
    # the largest difference seen on a CPU is 5e-7.
    np.testing.assert_allclose(found.scores, alone.scores, rtol=0, atol=2e-6)
    for program in many.engine._compiled.values():
        text = program.as_text()
        for collective in ("all-reduce", "all-gather", "all-to-all", "collective-permute"):
            assert collective not in text


@pytest.mark.slow
def test_a_model_split_over_two_devices() -> None:
    lists = Histories.from_lists(users(20))
    engine = EngineConfig(users_per_batch=64)
    found = scorer(engine, max_items=4, model_parallel=2).score(lists)
    expected = scorer(max_items=4).score(lists)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-4)
    with pytest.raises(GenretError, match="model_parallel: found 3, expected a divisor of the 8"):
        table(engine, model_parallel=3)


def test_each_user_obeys_a_filter() -> None:
    lists = Histories.from_lists(users(30))
    filter_of = np.arange(30, dtype=np.int32) % 3 - 1  # -1: none
    found = table(filters={"even": EVEN, "few": FEW}).score(lists, filter_of)
    free = PLAIN.score(lists)
    for user in range(30):
        items = found.items[user][found.items[user] >= 0]
        if filter_of[user] == 0:
            assert (items % 2 == 0).all()
        elif filter_of[user] == 1:
            assert (items < 3).all()
        else:
            np.testing.assert_array_equal(found.items[user], free.items[user])
        assert not set(items.tolist()) & set(lists[user].tolist())


def test_out_of_memory_halves_the_batch_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = Histories.from_lists(users(60))
    small = table()
    launch = Engine._launch

    def fails_when_large(self: Engine, batch: Any, asked: Any) -> Any:
        if self.users_per_batch > 8:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")
        return launch(self, batch, asked)

    monkeypatch.setattr(Engine, "_launch", fails_when_large)
    done: list[int] = []
    found = small.score(lists, progress=done.append)
    assert small.users_per_batch == 8
    assert sum(done) == 60
    assert_same(found, PLAIN.score(lists))


def test_memory_that_one_user_does_not_fit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Engine, batch: Any, asked: Any) -> Any:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")

    monkeypatch.setattr(Engine, "_launch", fails)
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        table().score(Histories.from_lists(users(5)))


@pytest.mark.slow
def test_the_probe_fits_the_batch_to_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = Histories.from_lists(users(20))
    expected = PLAIN.score(lists)
    for free, decode_batch, batch in ((1 << 30, 8, 128), (0, 2, 1)):
        monkeypatch.setattr("genret.recommend._engine.free_bytes", lambda _, free=free: free)
        found = table(EngineConfig(all_devices=False), decode_batch=decode_batch)
        answers = found.score(lists)
        assert found.users_per_batch == batch
        np.testing.assert_array_equal(answers.items, expected.items)


def test_padding_is_counted() -> None:
    one = table()
    one.score(Histories.from_lists([[1, 2, 3, 4]] * 8))
    assert (one.positions, one.padding) == (32, 0)
    one.score(Histories.from_lists([[1, 2, 3]]))
    assert (one.positions, one.padding) == (64, 29)  # a group of eight, of whom one is there


@pytest.mark.parametrize("longest", [1, 4, 5, 20, 50, 1000])
def test_widths_are_few_and_rise_to_the_longest(longest: int) -> None:
    widths = widths_of(longest)
    assert len(widths) <= 7
    assert list(widths) == sorted(set(widths))
    assert widths[-1] == longest


@pytest.mark.slow
def test_bfloat16_is_close(run: Path) -> None:
    config = {"k": 4, "beams": 6, "decode_batch": 8}
    lists = Histories.from_lists(users(16))
    exact = Scorer.load(run, ScoreConfig(**config), ONE).score(lists)
    short = Scorer.load(run, ScoreConfig(**config, dtype="bfloat16"), ONE).score(lists)
    assert not np.array_equal(short.scores, exact.scores)
    np.testing.assert_allclose(short.scores[:, 0], exact.scores[:, 0], atol=0.2)


def test_program_of_an_empty_batch_answers_nothing() -> None:
    placement = Placement.over(jax.local_devices()[:1])
    users = Users(items=np.zeros((8, 4), np.int32), lengths=np.zeros(8, np.int32))
    plain = table(exclude_seen=False)
    decoder = plain.engine._decoder
    compiled = placement.compile(decoder, users, k=2, beams=3, group_size=8)
    items, scores = compiled(
        jax.tree.leaves(decoder), placement.split(users), placement.split(np.zeros(1, np.int32))
    )
    assert (np.asarray(items) == -1).all()
    assert np.isneginf(scores).all()
