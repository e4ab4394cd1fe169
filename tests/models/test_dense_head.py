"""The dense head: one pass over the items serves both heads, and new items have vectors."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from genret.config import ItemDecoderConfig
from genret.errors import GenretError
from genret.models import DenseHead, History, SideFeatures, build_model, load_model, save_model

SIZES = (7, 5)
CONFIG = ItemDecoderConfig(
    codes_per_level=SIZES, width=16, heads=2, kv_heads=2, head_dim=8, mlp_dim=24, layers=1,
    item_ids=True, item_vectors=True, num_items=20, vector_dim=6, max_items=4, dense_head=True,
)  # fmt: skip
RNG = np.random.default_rng(0)
CODES = jnp.asarray(np.stack([RNG.integers(0, v, 24) for v in SIZES], axis=1), jnp.int32)
VECTORS = RNG.normal(size=(20, 6)).astype(np.float32)


APART = dataclasses.replace(CONFIG, layers=2, dense_layers=1, dense_items=True)


@pytest.mark.slow
@pytest.mark.parametrize("config", [CONFIG, APART, dataclasses.replace(APART, dense_layers=2)])
def test_a_search_sees_what_training_saw(config: ItemDecoderConfig, tmp_path: Path) -> None:
    model = build_model(config, 0)
    model.features.set_vectors(VECTORS)
    own = [3, 17, 3, 8]
    row = jnp.asarray([[*own, 0]], jnp.int32)
    ones, side = jnp.ones((1, 5), jnp.int32), SideFeatures(items=row)
    states, dense = model.heads(CODES[row], ones, jnp.arange(5)[None], side=side)
    np.testing.assert_allclose(
        states, model.states(CODES[row], ones, jnp.arange(5)[None], side=side), rtol=1e-5
    )
    head = DenseHead(model=model, codes=CODES)
    vectors = np.asarray(model.item_vectors(CODES))
    for length in (0, 2, 4):
        history = History.from_items(np.asarray(CODES), [own[:length]], 4)
        scores, cache = head.prefill(history)
        assert cache is None
        (first, _), both = model.prefill_heads(history, model.item_vectors(CODES))
        np.testing.assert_array_equal(both, scores)
        np.testing.assert_allclose(first, model.prefill(history)[0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(
            scores[0, 0], vectors @ np.asarray(dense)[0, length], rtol=2e-5, atol=2e-5
        )
    with pytest.raises(GenretError, match="a dense head has one level"):
        head.step(row, row, None)
    model.config = dataclasses.replace(model.config, dense_share=0.3)
    save_model(tmp_path, model)
    assert load_model(tmp_path).capabilities.dense_share == 0.3


def test_vectors_of_items_that_training_does_not_know() -> None:
    model = build_model(CONFIG, 0)
    model.features.set_vectors(VECTORS)
    model.features.forget(np.array([2]))
    found = np.asarray(model.item_vectors(CODES))
    table = np.asarray(model.embedding.table[...])
    of_codes = table[np.asarray(CODES)[:, 0]] + table[7 + np.asarray(CODES)[:, 1]]
    projected = VECTORS @ np.asarray(model.features.vector_proj.kernel[...])
    scale = np.sqrt((projected**2).mean(axis=1, keepdims=True) + CONFIG.norm_eps)
    text = projected / scale * CONFIG.width**-0.5
    own = np.asarray(model.features.items.table[...])
    np.testing.assert_allclose(found[:20], of_codes[:20] + text + own, rtol=1e-4, atol=1e-5)
    assert (own[2] == 0).all()
    # Four items came after the training: they have codes, and nothing else.
    np.testing.assert_allclose(found[20:], of_codes[20:], rtol=1e-5)


def test_the_dense_head_has_last_blocks_and_vectors_of_its_own() -> None:
    model = build_model(APART, 0)
    model.features.set_vectors(VECTORS)
    model.forget(np.array([2]))
    shared = build_model(CONFIG, 0)
    shared.embedding, shared.features = model.embedding, model.features
    own = np.asarray(model.dense_items.table[...])
    assert (own[2] == 0).all()
    assert (own[3] != 0).any()
    added = np.asarray(model.item_vectors(CODES)) - np.asarray(shared.item_vectors(CODES))
    np.testing.assert_allclose(added, np.concatenate([own, np.zeros((4, 16))]), atol=1e-6)

    history = History.from_items(np.asarray(CODES), [[3, 17, 5]], 4)
    (codes, _), dense = model.prefill_heads(history, model.item_vectors(CODES))
    for blocks, moves in ((model.dense_blocks, (False, True)), (model.item_blocks, (True, False))):
        kernel = blocks.blocks[-1].mlp.down_proj.kernel
        before = kernel[...]
        kernel[...] = before + 0.1 * RNG.normal(size=before.shape).astype(np.float32)
        (other_codes, _), other_dense = model.prefill_heads(history, model.item_vectors(CODES))
        kernel[...] = before
        found = (np.abs(other_codes - codes).max() > 1e-4, np.abs(other_dense - dense).max() > 1e-4)
        assert found == moves


def test_what_only_a_dense_head_has_is_refused_without_one() -> None:
    for changes, says in (
        ({"dense_layers": 2}, "dense_layers: found 2, expected at most layers 1"),
        ({"dense_head": False, "dense_layers": 1}, "dense_layers: found 1 without dense_head"),
        ({"dense_head": False, "dense_items": True}, "dense_items: found True without dense_head"),
    ):
        with pytest.raises(GenretError, match=says):
            dataclasses.replace(CONFIG, **changes)
    alone = {"item_ids": False, "item_vectors": False, "num_items": 0, "dense_items": True}
    unfilled = dataclasses.replace(CONFIG, **alone)
    with pytest.raises(GenretError, match="num_items: found 0, expected the number of items"):
        build_model(unfilled, 0)


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(GenretError, match=r"dense_share: found 1\.5, expected 0 to 1"):
        dataclasses.replace(CONFIG, dense_share=1.5)
