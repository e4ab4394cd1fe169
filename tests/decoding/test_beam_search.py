"""The search against its oracles: items, order and scores."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.index import TrieIndex
from genret.testing import TableModel, random_codes

COUNTS = [(7,), (3, 3), (2, 40, 3), (5, 1, 4, 3), (1, 1, 1), (300, 2), (2,) * 12]


CASES = st.fixed_dictionaries(
    {
        "counts": st.sampled_from(COUNTS),
        "num_items": st.sampled_from([1, 2, 9, 60]),
        "kind": st.sampled_from(["uniform", "zipf", "duplicates"]),
        "seed": st.integers(0, 10**6),
        "beams": st.sampled_from([1, 2, 8, 100]),
        "spread": st.sampled_from([1, 3, 2**16]),
        "allowed": st.sampled_from([None, 0.1, 0.5]),
        "excluded": st.sampled_from([None, 1, 7, 30]),
        "own_beams": st.booleans(),
        "stored": st.sampled_from(["auto", "window", "ragged"]),
    }
)
"""A trie, a model, and any of filters, exclusions and beams per request."""


def check(
    case: dict[str, Any], equals_oracle: Callable, make_exact: Callable, make_index: Callable
) -> None:
    counts, num_items, seed, beams = (case[k] for k in ("counts", "num_items", "seed", "beams"))
    rng = np.random.default_rng(seed)
    options: dict[str, Any] = {}
    if case["allowed"] is not None:
        options["masks"] = rng.random((3, num_items)) < case["allowed"]
        options["masks"][0] = seed % 2  # everything, or nothing
        options["filter_of"] = rng.integers(0, 3, 3).tolist()
    if case["excluded"] is not None:
        options["exclude"] = rng.integers(-1, num_items, (3, case["excluded"]))
    if case["own_beams"]:
        options["beams_of"] = rng.integers(0, beams + 1, 3).tolist()
    codes = random_codes(num_items, counts, case["kind"], seed=seed)
    index = make_index(codes, case["stored"])
    model = make_exact(counts, seed, case["spread"])
    equals_oracle(model, codes, beams=beams, index=index, **options)


@settings(max_examples=4)
@given(CASES)
def test_equals_the_oracle(
    equals_oracle: Callable, make_exact: Callable, make_index: Callable, case: dict
) -> None:
    check(case, equals_oracle, make_exact, make_index)


@pytest.mark.slow
@settings(max_examples=15)
@given(CASES)
def test_equals_the_oracle_at_length(
    equals_oracle: Callable, make_exact: Callable, make_index: Callable, case: dict
) -> None:
    check(case, equals_oracle, make_exact, make_index)


@pytest.mark.parametrize(
    ("beams", "stored", "kind"),
    [
        (4, "dense", "zipf"),
        pytest.param(4, "window", "uniform", marks=pytest.mark.slow),
        (4, "ragged", "zipf"),
        (60, "dense", "duplicates"),
        pytest.param(60, "ragged", "duplicates", marks=pytest.mark.slow),
    ],
)
def test_many_models_filters_and_exclusions_in_one_program(
    equals_oracle: Callable,
    make_exact: Callable,
    make_index: Callable,
    kind: str,
    beams: int,
    stored: str,
) -> None:
    counts = (6, 5, 4)
    codes = random_codes(50, counts, kind, seed=5)
    index = make_index(codes, stored)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        equals_oracle(
            make_exact(counts, seed, [1, 2, 9, 2**16][seed % 4]),
            codes,
            index=index,
            beams=beams,
            batch=6,
            masks=rng.random((3, 50)) < [[0.5], [0.05], [1.0]],
            filter_of=rng.integers(0, 3, 6).tolist(),
            exclude=rng.integers(-1, 50, (6, 12)),
            beams_of=rng.integers(0, beams + 1, 6).tolist(),
        )


@pytest.mark.parametrize("kind", ["uniform", "zipf", "duplicates"])
def test_normalized_scores(equals_oracle: Callable, kind: str) -> None:
    counts = (8, 16, 5)
    codes = random_codes(80, counts, kind, seed=1)
    index = TrieIndex.from_codes(codes)
    for seed in range(5):
        model = TableModel.random(counts, seed=seed)
        equals_oracle(model, codes, index=index, beams=10, exact=False)


@pytest.mark.parametrize("kind", ["uniform", "zipf", "duplicates"])
def test_with_enough_beams_it_ranks_all_items(equals_oracle: Callable, kind: str) -> None:
    counts = (6, 6, 6)
    codes = random_codes(70, counts, kind, seed=2)
    mask = np.random.default_rng(0).random((1, 70)) < 0.7
    answers = equals_oracle(
        TableModel.random(counts, seed=3), codes, beams=80, masks=mask,
        exclude=np.array([[0, 1, 2], [5, 5, -1], [-1, -1, -1]]), exhaustive=True, exact=False,
    )  # fmt: skip
    assert len(answers[2]) == mask.sum()


def test_the_narrow_beam_is_not_the_exhaustive_ranking(equals_oracle: Callable) -> None:
    """One beam follows the likelier first code to an unlikely end, as a beam search does."""
    model = TableModel.of([np.log([[0.6, 0.4]]), np.log([[0.01, 0.09, 0.9]])])
    codes = np.array([[0, 0], [1, 2]])
    assert equals_oracle(model, codes, beams=1, exact=False)[0][0].item == 0
    found = equals_oracle(model, codes, beams=2, exhaustive=True, exact=False)
    assert [a.item for a in found[0]] == [1, 0]


@pytest.mark.parametrize("spread", [1, 2])
def test_ties_go_to_the_lower_beam_and_then_the_lower_code(
    equals_oracle: Callable, make_exact: Callable, spread: int
) -> None:
    codes = random_codes(90, (9, 9, 9), seed=4)
    answers = equals_oracle(make_exact((9, 9, 9), 0, spread), codes, beams=20)
    if spread == 1:  # all equal: the first semantic IDs
        first = sorted(tuple(row) for row in codes.tolist())[:20]
        assert [a.codes for a in answers[0]] == first


@pytest.mark.slow
def test_items_that_share_a_leaf_fill_ranks_in_order_of_position(
    equals_oracle: Callable, make_exact: Callable
) -> None:
    codes = np.array([[1, 1], [0, 0], [1, 1], [1, 1], [0, 0], [1, 1]])
    model = make_exact((2, 2), 1, 2**16)
    for beams in (1, 3, 8):
        equals_oracle(model, codes, beams=beams, exclude=np.array([[2], [3], [-1]]))
    one_leaf = np.zeros((300, 2), int)
    answers = equals_oracle(model, one_leaf, beams=5, exclude=np.array([[0, 3], [1, 2], [-1, -1]]))
    assert [[a.item for a in row] for row in answers] == [
        [1, 2, 4, 5, 6], [0, 3, 4, 5, 6], [0, 1, 2, 3, 4],
    ]  # fmt: skip


def test_bfloat16_logits_are_summed_in_float32(
    equals_oracle: Callable, make_exact: Callable
) -> None:
    codes = random_codes(60, (5, 5, 5), seed=6)
    equals_oracle(make_exact((5, 5, 5), 0, 140, jnp.bfloat16), codes, beams=9)
    tables = [np.random.default_rng(i).normal(0, 3, (31, 700)) for i in range(3)]
    model = TableModel.of(tables, jnp.bfloat16)
    equals_oracle(model, random_codes(60, (700,) * 3, "zipf", seed=6), beams=9, exact=False)


@pytest.mark.parametrize(
    "values",
    [
        [0.0, -np.inf],
        [0.0, 1e4, -1e4],
        [3e38, -3e38, 0.0, 1e30],
        [-np.inf, -3e38],
        [-np.inf],
    ],
)
def test_infinite_and_huge_logits(equals_oracle: Callable, values: list[float]) -> None:
    counts = (4, 5, 3)
    tables = [np.random.default_rng(i).choice(values, (31, n)) for i, n in enumerate(counts)]
    codes = random_codes(40, counts, seed=7)
    with np.errstate(over="ignore"):
        answers = equals_oracle(TableModel.of(tables), codes, beams=12, exact=False)
    if values == [-np.inf]:
        assert answers == [[], [], []]


def test_infinite_logits_of_codes_that_no_item_has(
    equals_oracle: Callable, make_exact: Callable
) -> None:
    """An item of probability 0 is no answer, whatever takes the probability."""
    model = make_exact((3, 3), 0, 9)
    tables = [np.asarray(t).copy() for t in model.tables]
    tables[1][::2, :3] = -np.inf
    answers = equals_oracle(TableModel.of(tables), random_codes(9, (3, 3)), beams=9)
    assert min(len(a) for a in answers) < 9


def test_nothing_allowed(equals_oracle: Callable, make_exact: Callable) -> None:
    codes = random_codes(30, (4, 4))
    everything = np.tile(np.arange(30), (3, 1))
    model = make_exact((4, 4), 0, 9)
    none = np.zeros((1, 30), bool)
    for restriction in ({"masks": none}, {"exclude": everything}, {"beams_of": [0, 0, 0]}):
        assert equals_oracle(model, codes, beams=5, **restriction) == [[], [], []]
    # Excluded and not allowed at once: subtracted once.
    half = np.arange(30)[None] % 2 == 0
    answers = equals_oracle(model, codes, beams=40, masks=half, exclude=everything[:, 1:20:3])
    assert [len(a) for a in answers] == [12, 12, 12]


def test_the_search_equals_that_of_an_index_of_the_allowed_items(
    equals_oracle: Callable, make_exact: Callable
) -> None:
    codes = random_codes(64, (4, 4, 4), "zipf", seed=8)
    mask = np.random.default_rng(1).random((1, 64)) < 0.4
    model = make_exact((4, 4, 4), 2, 5)
    restricted = equals_oracle(model, codes, beams=7, masks=mask)
    fresh = equals_oracle(model, codes[mask[0]], beams=7)
    kept = np.flatnonzero(mask[0])
    assert [[a._replace(item=kept[a.item]) for a in row] for row in fresh] == restricted
