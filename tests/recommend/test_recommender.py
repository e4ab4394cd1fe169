"""Recommender: the answers of a brute-force ranking, whoever is asked with whom, by id and title."""

import dataclasses
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.config import ItemDecoderConfig
from genret.data import Catalog
from genret.decoding import beam_search
from genret.errors import GenretError
from genret.histories import Histories
from genret.index import ItemFilter, LiveIndex, TrieIndex
from genret.models import DenseHead, History, build_model
from genret.recommend import Recommendations, Recommender
from genret.recommend._memory import exact_batch
from genret.testing import (
    TableModel,
    log_softmax,
    protocol_logits,
    random_codes,
    rank_all_items,
)

SIZES = (5, 4, 3)
CODES = random_codes(40, SIZES, "duplicates", seed=1)
INDEX = TrieIndex.from_codes(CODES, codes_per_level=SIZES)
MODEL = TableModel.random(SIZES, seed=2)
LENGTHS = [3, 0, 25, 1, 40, 7, 2]
SHOP = Recommender(MODEL, INDEX, CODES, max_items=4)
SHAPE = ItemDecoderConfig(
    codes_per_level=SIZES, width=16, layers=1, heads=2, kv_heads=2, head_dim=8, mlp_dim=16,
    max_items=4,
)  # fmt: skip
TITLES = ["Calm Lamp", "Bold Lamp", "Calm Desk", *(f"Thing {n}" for n in range(3, 40))]
TABLE = pa.table(
    {
        "item_id": [f"SKU{n}" for n in range(40)],
        "title": TITLES,
        "price": np.arange(40) * 10.0,
        "in_stock": np.arange(40) % 2 == 0,
    }
)
CATALOG = Catalog(TABLE)
NAMED = TrieIndex.from_codes(CODES, CATALOG.item_ids, codes_per_level=SIZES)


@pytest.fixture(scope="module")
def shop() -> Recommender:
    return Recommender(MODEL, NAMED, catalog=CATALOG, max_items=4)


@pytest.fixture(scope="module")
def histories() -> Histories:
    rng = np.random.default_rng(3)
    own = [rng.permutation(40)[:n] for n in LENGTHS]
    own[5][1:] = own[5][0]  # one item, seven times
    return Histories.from_lists(own)


def run(histories: Any, shop: Recommender = SHOP, **options: Any) -> Recommendations:
    return shop.recommend_many(histories, **{"k": 6, "beams": 12} | options)


def expected_of(own: Any, allowed: Any) -> list[Any]:
    history = History.from_items(CODES, [own], 4)
    return rank_all_items(protocol_logits(MODEL, history), CODES, allowed)


@pytest.mark.parametrize(
    ("exclude_seen", "options"),
    [(True, {"beams": 40}), (False, {"beams": 40}), (True, {"beams": 1, "exact": True})],
)
def test_equals_ranking_every_item_one_user_at_a_time(histories, exclude_seen, options) -> None:
    found = run(histories, k=40, exclude_seen=exclude_seen, **options)
    for user in range(len(LENGTHS)):
        own = histories[user]
        excluded = set(own.tolist()) if exclude_seen else set()
        expected = expected_of(own, [item for item in range(40) if item not in excluded])
        got = found.items[user][found.valid[user]]
        assert got.tolist() == [r.item for r in expected]
        np.testing.assert_allclose(
            found.scores[user][: len(got)], [r.score for r in expected], rtol=1e-5
        )
        assert np.isneginf(found.scores[user][len(got) :]).all()


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("shape", [SHAPE, None])
def test_each_user_obeys_a_filter(histories, exact, shape) -> None:
    if shape is not None and exact:
        pytest.skip("the search is the same for every model")
    shop = SHOP if shape is None else Recommender(build_model(shape, 0), INDEX)
    even = ItemFilter.from_mask(INDEX, np.arange(40) % 2 == 0)
    few = ItemFilter.from_mask(INDEX, np.arange(40) < 3)
    where_of = np.arange(len(LENGTHS)) % 3 - 1  # -1: none
    options = {"k": 40, "beams": 40, "exact": exact}
    found = run(histories, shop, where=[even, few], where_of=where_of, **options)
    free = run(histories, shop, **options)
    for user, number in enumerate(where_of):
        allowed = {0: range(0, 40, 2), 1: range(3)}.get(int(number), range(40))
        wanted = [item for item in free.items[user].tolist() if item in allowed]
        assert found.items[user][found.valid[user]].tolist() == wanted


@settings(max_examples=20)
@given(st.lists(st.lists(st.integers(0, 39), max_size=9), min_size=9, max_size=40), st.randoms())
def test_an_answer_does_not_depend_on_who_else_is_asked(lists: Any, random: Any) -> None:
    whole = run(Histories.from_lists(lists))
    order = list(range(len(lists)))
    random.shuffle(order)
    shuffled = run(Histories.from_lists([lists[user] for user in order]))
    np.testing.assert_array_equal(shuffled.items, whole.items[order])
    np.testing.assert_array_equal(shuffled.scores, whole.scores[order])


@pytest.mark.slow
def test_groups_of_every_size_agree(histories) -> None:
    """One user, eight, many: other programs, the same items."""
    shop = Recommender(build_model(SHAPE, 0), INDEX)
    many = histories.take(np.arange(70) % 7)
    whole = run(many, shop)
    for count in (1, 5):
        part = run(many.slice(0, count), shop)
        np.testing.assert_array_equal(part.items, whole.items[:count])
        np.testing.assert_allclose(part.scores, whole.scores[:count], rtol=1e-5)


def test_exact_batches_fit_the_memory() -> None:
    assert exact_batch(40, 5, 0, users=7) == 7
    assert exact_batch(40, 5, 3, users=7) == 3
    assert exact_batch(1 << 20, 256, 100, users=7) == 1
    assert exact_batch(1 << 20, 16, 0, users=7) == 4


def test_exact_batches_of_any_size_agree(histories) -> None:
    whole = run(histories, exact=True)
    steps: list[int] = []
    single = run(histories, exact=True, users_per_batch=1, progress=steps.append)
    assert steps == [1] * len(LENGTHS)
    np.testing.assert_array_equal(single.items, whole.items)


def test_the_model_sees_the_newest_items_and_the_search_excludes_all(histories) -> None:
    found = run(histories, k=20, beams=40)
    for user in range(len(LENGTHS)):
        assert not set(found.items[user].tolist()) & set(histories[user].tolist())
    # User 2 has 25 items; with the newest 4 alone the scores are the same, the exclusions fewer.
    alone = run(histories.take([2]).last(4), k=40, beams=40, exclude_seen=False)
    scores = {one.item: one.score for one in alone[0]}
    for one in found[2]:
        assert one.score == pytest.approx(scores[one.item], rel=1e-5)


def test_somebody_who_has_seen_everything_gets_nothing(histories) -> None:
    found = run(histories)
    assert found.items[4].tolist() == [-1] * 6
    assert found[4] == []
    assert repr(run(histories.take([4]))) == "no item is allowed"


def test_no_users_and_progress(histories) -> None:
    assert run(Histories.from_lists([])).items.shape == (0, 6)
    steps: list[int] = []
    run(histories, progress=steps.append, users_per_batch=8)
    assert sum(steps) == len(LENGTHS)


def test_a_program_is_given_the_rows_of_items(shop) -> None:
    (own,) = shop.decoder.searchers
    assert own.index.rows is not None
    assert shop.index.rows is None


def test_a_warm_call_compiles_nothing(shop, histories) -> None:
    shop.warm_up(k=5)
    shop.recommend(["SKU1"], k=5, where="in_stock")
    with jax.log_compiles(False):
        engines = {name: dict(engine.programs) for name, engine in shop._engines.items()}
        shop.recommend(["SKU2", "SKU3"], k=5)
        shop.recommend(["SKU4"], k=5, where="in_stock")
        assert {n: dict(e.programs) for n, e in shop._engines.items()} == engines


@pytest.mark.slow
def test_times_and_users_reach_the_model() -> None:
    shape = {"time_buckets": 9, "user_buckets": 4}
    model = build_model(dataclasses.replace(SHAPE, **shape), 0)
    shop = Recommender(model, INDEX)
    rng = np.random.default_rng(0)
    lists = [rng.integers(0, 40, n).tolist() for n in (0, 3, 9)]
    times = [np.sort(rng.integers(0, 10**12, len(own))) for own in lists]
    known = Histories.from_lists(lists, times=times, users=[2, -1, 0])
    history = History.from_items(CODES, known, 4, time_buckets=9, user_buckets=4)
    expected = beam_search(model, history, INDEX, beams=12, exclude=known.exclusions())
    for exact in (False, True):
        found = run(known, shop, exact=exact, k=6)
        np.testing.assert_allclose(found.scores[:, 0], expected.scores[:, 0], rtol=1e-5)
    found = run(known, shop)
    np.testing.assert_array_equal(found.items, np.asarray(expected.items)[:, :6])
    unknown = run(Histories.from_lists(lists), shop)
    assert not np.array_equal(unknown.scores, found.scores)


# Ids, titles and conditions


def test_ids_and_titles_go_in_and_come_out(shop) -> None:
    found = shop.recommend(["Calm Lamp", "SKU17", "desk"], k=5, where="in_stock and price < 100")
    assert all(int(one.id[3:]) % 2 == 0 and int(one.id[3:]) < 10 for one in found[0])
    assert {one.id for one in found[0]} <= {"SKU4", "SKU6", "SKU8"}  # SKU0 and SKU2 are seen
    assert [one.title for one in found[0]] == [TITLES[one.item] for one in found[0]]
    assert [one.rank for one in found[0]] == list(range(1, len(found[0]) + 1))
    both = shop.recommend(["SKU0"], k=5, where=["in_stock", "price < 100"])
    assert (
        both.ids.tolist()
        == shop.recommend(["SKU0"], k=5, where="in_stock and price < 100").ids.tolist()
    )
    many = shop.recommend_many(
        [["SKU0"], []], k=3, where=["in_stock", "price < 50"], where_of=[1, -1]
    )
    assert {one.item for one in many[0]} <= {1, 2, 3, 4}
    assert len(many[1]) == 3


@pytest.mark.slow
def test_what_is_printed(shop) -> None:
    lines = repr(shop.recommend(["SKU0"], k=2)).splitlines()
    assert lines[0].split() == ["rank", "id", "title", "score"]
    assert len(lines) == 3
    without = repr(SHOP.recommend([0], k=2)).splitlines()
    assert without[0].split() == ["rank", "id", "score"]
    many = repr(shop.recommend_many([[]] * 5, k=2))
    assert many.startswith("Recommendations of 5 users, up to 2 items each")
    assert many.endswith("and 2 more users")


def test_tables(shop) -> None:
    found = shop.recommend_many([["SKU0"], []], k=2)
    table = found.to_arrow()
    assert table.column_names == ["user", "rank", "item_id", "title", "score"]
    rows = table.to_pylist()
    assert [(r["user"], r["rank"]) for r in rows] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert [r["item_id"] for r in rows] == found.ids.reshape(-1).tolist()
    assert [r["title"] for r in rows] == found.titles.reshape(-1).tolist()
    plain = SHOP.recommend([0], k=2).to_arrow()
    assert plain.column_names == ["user", "rank", "item_id", "score"]
    assert plain["item_id"].type == pa.int64()
    nothing = shop.recommend([], k=2, where="price > 1000").to_arrow()
    assert nothing.num_rows == 0


def test_pandas_is_asked_for_only_there(shop, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(GenretError, match="to_pandas: found no pandas"):
        shop.recommend([], k=2).to_pandas()


@pytest.mark.slow
def test_an_index_that_changes(histories) -> None:
    shop = Recommender(MODEL, INDEX, max_items=4)
    before = shop.recommend([], k=40, beams=40)
    best = before[0][0].item
    shop.refresh(LiveIndex(INDEX).remove([best]))
    after = shop.recommend([], k=40, beams=40)
    assert [one.item for one in after[0]] == [one.item for one in before[0]][1:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k: found 0"),
        ({"k": 13}, "beams: found 12, expected at least k, 13"),
        ({"where_of": [0]}, "where_of: found, but no where"),
        ({"where": "price < 3"}, "where: found 'price < 3' and no catalog"),
        ({"where": [~ItemFilter.from_items(INDEX, [1])] * 2}, "where_of: left out, expected one"),
        (
            {"where": ItemFilter.from_items(INDEX, [1]), "where_of": [0]},
            r"where_of: found int64 \(1,\), expected 7 integers",
        ),
        (
            {"where": ItemFilter.from_items(INDEX, [1]), "where_of": [1] * 7},
            r"where_of: found \[1\], expected -1 to 0",
        ),
    ],
)
def test_bad_arguments_are_refused(histories, options, message) -> None:
    with pytest.raises(GenretError, match=message) as caught:
        run(histories, **options)
    assert "\n" not in str(caught.value)


def test_unknown_items_come_with_near_matches(shop) -> None:
    with pytest.raises(GenretError, match="no item has the id or title 'Calm Lmap'; did you mean"):
        shop.recommend(["Calm Lmap"])
    nameless = Recommender(MODEL, NAMED, max_items=4)
    with pytest.raises(GenretError, match=r"'SKU99'.*did you mean 'SKU9' or"):
        nameless.recommend(["SKU99"])
    with pytest.raises(GenretError, match=r"no item has the id 40 \(40 items\)$"):
        SHOP.recommend([40])
    with pytest.raises(GenretError, match="items: entry 0 is 40, expected 0 to 39"):
        SHOP.recommend_many(Histories.from_lists([[40]]))


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(GenretError, match="found 39 items, expected 40"):
        Recommender(MODEL, INDEX, CODES[:39])
    with pytest.raises(GenretError, match="found other items in the index"):
        Recommender(MODEL, INDEX, catalog=CATALOG)
    with pytest.raises(GenretError, match="max_items: found 0"):
        Recommender(MODEL, INDEX, max_items=0)
    with pytest.raises(GenretError, match="model_parallel: found 3, expected a divisor of the 8"):
        Recommender(MODEL, INDEX, devices=jax.local_devices(), model_parallel=3)


# Channels

ONE_CODE = np.arange(40)[:, None]
OTHER = Recommender(TableModel.random((40,), seed=7), TrieIndex.from_codes(ONE_CODE), max_items=9)


def fused_by_hand(own: Any, weights: Any, fuse: str, allowed: Any) -> dict[int, float]:
    """Score every allowed item in both channels, and fuse the scores."""
    each = []
    for shop, codes in ((SHOP, CODES), (OTHER, ONE_CODE)):
        history = History.from_items(codes, [own], shop.max_items)
        ranked = rank_all_items(protocol_logits(shop.model, history), codes, allowed)
        each.append({one.item: one.score for one in ranked})
    if fuse == "product":
        return {i: weights[0] * each[0][i] + weights[1] * each[1][i] for i in each[0]}
    mixed = {i: sum(w * np.exp(s[i]) for w, s in zip(weights, each, strict=True)) for i in each[0]}
    return {i: float(np.log(p)) for i, p in mixed.items()}


@pytest.mark.parametrize(
    ("fuse", "options"), [("product", {"beams": 40}), ("mixture", {"exact": True})]
)
def test_channels_equal_ranking_every_item(histories, fuse, options) -> None:
    both = Recommender(
        MODEL, INDEX, CODES, max_items=4, channels=[OTHER], weights=[3.0, 1.0], fuse=fuse
    )
    assert both.max_items == 9
    even = ItemFilter.from_mask(INDEX, np.arange(40) % 2 == 0)
    where_of = np.arange(len(LENGTHS)) % 2 - 1
    found = run(histories, both, k=40, where=[even], where_of=where_of, **options)
    for user in range(len(LENGTHS)):
        own = histories[user]
        step = 2 if where_of[user] == 0 else 1
        allowed = [i for i in range(0, 40, step) if i not in set(own.tolist())]
        wanted = fused_by_hand(own, [0.75, 0.25], fuse, allowed)
        got = found[user]
        assert [one.item for one in got] == sorted(wanted, key=lambda i: -wanted[i])
        scores = [wanted[one.item] for one in got]
        np.testing.assert_allclose([one.score for one in got], scores, rtol=1e-5)


@pytest.mark.parametrize(
    "options", [pytest.param({"beams": 40}, marks=pytest.mark.slow), {"exact": True}]
)
def test_both_heads_of_a_model_equal_ranking_every_item(histories, options) -> None:
    model = build_model(dataclasses.replace(SHAPE, dense_head=True, dense_share=0.3), 0)
    shop = Recommender(model, INDEX, CODES)
    found = run(histories, shop, k=40, **options)
    few = run(
        histories, shop, k=40, **options, where=ItemFilter.from_mask(INDEX, np.arange(40) < 9)
    )
    head = DenseHead(model=model, codes=jnp.asarray(CODES, jnp.int32))
    for user in range(len(LENGTHS)):
        own = histories[user]
        allowed = [i for i in range(40) if i not in set(own.tolist())]
        history = History.from_items(CODES, [own], 4)
        spelled = rank_all_items(protocol_logits(model, history), CODES, allowed)
        dense = log_softmax(np.asarray(head.prefill(history)[0])[0, 0])
        wanted = {one.item: 0.7 * one.score + 0.3 * dense[one.item] for one in spelled}
        # Items with the same codes have the same vector without vectors of their own.
        order = sorted(wanted, key=lambda i: (-round(wanted[i], 4), i))
        assert [one.item for one in found[user]] == order
        scores = [wanted[one.item] for one in found[user]]
        np.testing.assert_allclose([one.score for one in found[user]], scores, rtol=1e-4)
        assert [one.item for one in few[user]] == [i for i in order if i < 9]


@pytest.mark.slow
def test_histories_are_read_once_for_both_heads(histories) -> None:
    """A block of the encoder adds as many matrix products to a program with one head or two."""
    products = {}
    for layers in (1, 2):
        shape = dataclasses.replace(SHAPE, dense_head=True, layers=layers)
        for share in (0.0, 0.5):
            shop = Recommender(build_model(shape, 0), INDEX, CODES, dense_share=share)
            run(histories, shop)
            (engine,) = shop._engines.values()
            programs = [program.as_text().count(" dot(") for program in engine._compiled.values()]
            products[layers, share] = max(programs)
    added = {share: products[2, share] - products[1, share] for share in (0.0, 0.5)}
    assert added[0.5] == added[0.0] > 0


@pytest.mark.slow
def test_what_is_removed_no_channel_answers(histories) -> None:
    both = Recommender(MODEL, INDEX, CODES, max_items=4, channels=[OTHER])
    before = run(histories, both, k=40, beams=40)
    both.refresh(LiveIndex(INDEX).remove([3, 5]), CODES)
    for where in (None, ItemFilter.from_mask(INDEX, np.arange(40) < 9)):
        after = run(histories, both, k=40, beams=40, where=where)
        for user in range(len(LENGTHS)):
            kept = [i for i in before.items[user].tolist() if i not in (3, 5)]
            kept = kept if where is None else [i for i in kept if i < 9]
            assert after.items[user][after.valid[user]].tolist() == [i for i in kept if i >= 0]


def test_channels_that_do_not_fit_are_refused() -> None:
    fewer = Recommender(TableModel.random((39,), seed=7), TrieIndex.from_codes(ONE_CODE[:39]))
    with pytest.raises(GenretError, match=r"channels\[0\]: found other items \(39\)"):
        Recommender(MODEL, INDEX, channels=[fewer])
    for weights in ([1.0], [1.0, -1.0], [0.0, 0.0], [1.0, np.nan]):
        with pytest.raises(GenretError, match=r"weights: found .*, expected 2 numbers"):
            Recommender(MODEL, INDEX, channels=[OTHER], weights=weights)
    with pytest.raises(GenretError, match="fuse: found 'sum', expected one of product, mixture"):
        Recommender(MODEL, INDEX, channels=[OTHER], fuse="sum")
    with pytest.raises(GenretError, match=r"dense_share: found 0\.5 for a model without"):
        Recommender(MODEL, INDEX, dense_share=0.5)
    shape = dataclasses.replace(SHAPE, time_buckets=9)
    timed = Recommender(build_model(shape, 0), INDEX)
    also = Recommender(build_model(dataclasses.replace(shape, time_buckets=5), 0), INDEX)
    with pytest.raises(GenretError, match=r"channels: found time_buckets of \[5, 9\]"):
        Recommender(timed.model, INDEX, channels=[also])
