"""SASRec: what a position sees, packing, cached = full, and what it refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.config import SASRecModelConfig
from genret.decoding import beam_search
from genret.errors import GenretError
from genret.index import ItemFilter, TrieIndex
from genret.models import History, SASRec, build_model, load_model, save_model

ITEMS = 11
CONFIG = SASRecModelConfig(codes_per_level=(ITEMS,), width=16, mlp_dim=24, max_items=5, dropout=0.5)
CODES = np.arange(ITEMS)[:, None]


@pytest.fixture(scope="module")
def model() -> SASRec:
    """Return a model in which nothing is left at 0 or 1, where errors hide."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: jnp.asarray(x + 0.3 * rng.normal(size=x.shape), jnp.float32),
        build_model(CONFIG, 0),
    )


@jax.jit
def scores_of(model, items, segments, positions):
    return model.logits(items[..., None], segments, positions)[0]


def test_a_position_sees_the_items_before_it_in_its_segment_only(model) -> None:
    items = np.random.default_rng(1).integers(0, ITEMS, (1, 6))
    segments = jnp.array([[1, 1, 1, 2, 2, 0]])
    positions = jnp.array([[0, 1, 2, 0, 1, 0]])
    before = scores_of(model, items, segments, positions)
    for t in range(6):
        changed = items.copy()
        changed[0, t] = (changed[0, t] + 1) % ITEMS
        moved = np.abs(scores_of(model, changed, segments, positions) - before).max(axis=-1)[0]
        for u in range(6):
            same = segments[0, t] == segments[0, u]
            assert (moved[u] > 1e-5) == bool(u > t and same), (t, u)


def test_prefill_equals_the_full_forward(model) -> None:
    rng = np.random.default_rng(2)
    lengths = [0, 1, 3, 5]
    items = rng.integers(0, ITEMS, (4, 6))
    full = scores_of(model, items, jnp.ones((4, 6), int), jnp.tile(jnp.arange(6), (4, 1)))
    own = [items[b, :n] for b, n in enumerate(lengths)]
    history = History.from_items(CODES, own, max_items=5)
    found, cache = jax.jit(lambda m, h: m.prefill(h))(model, history)
    assert cache is None
    for b, n in enumerate(lengths):
        np.testing.assert_allclose(found[b, 0], full[b, n], atol=1e-5)


def test_the_search_ranks_all_items_and_obeys(model) -> None:
    index = TrieIndex.from_codes(CODES, codes_per_level=(ITEMS,))
    history = History.from_items(CODES, [[4, 7, 1], []], max_items=5)
    scores = np.asarray(model.prefill(history)[0])[:, 0]
    best = np.argsort(-scores, axis=1, kind="stable")
    result = beam_search(model, history, index, beams=ITEMS)
    np.testing.assert_array_equal(result.items, best)
    few = ItemFilter.from_items(index, [2, 3, 5])
    result = beam_search(model, history, index, beams=4, filters=[few])
    for row, order in zip(np.asarray(result.items).tolist(), best.tolist(), strict=True):
        assert row == [i for i in order if i in (2, 3, 5)] + [-1]


def test_dropout_moves_the_scores(model) -> None:
    items, row = jnp.zeros((1, 3, 1), int), jnp.ones((1, 3), int)
    keys = jax.random.key(0), jax.random.key(1)
    one, other = (model.logits(items, row, row, dropout_key=key)[0] for key in keys)
    assert np.abs(one - other).max() > 0.01


def test_is_saved_and_loaded(model, tmp_path) -> None:
    save_model(tmp_path, model)
    loaded = load_model(tmp_path)
    assert isinstance(loaded, SASRec)
    for x, y in zip(jax.tree.leaves(model), jax.tree.leaves(loaded), strict=True):
        np.testing.assert_array_equal(x, y)


def test_bad_input(model) -> None:
    for changes, says in (
        ({"codes_per_level": (4, 4)}, "found 2 levels, expected one for kind 'sasrec'"),
        ({"codes_per_level": ()}, "codes_per_level: found none"),
        ({"width": 18}, "heads: found 4, expected a divisor of width 18"),
    ):
        with pytest.raises(GenretError, match=says):
            build_model(dataclasses.replace(CONFIG, **changes), 0)
    with pytest.raises(GenretError, match="no level follows"):
        model.step(jnp.zeros((1, 1), int), jnp.zeros((1, 1), int), None)
