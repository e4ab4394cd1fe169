"""Presets, seeds, and models as pytrees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from genret.config import ModelConfig
from genret.models import PRESETS, History, build_model, num_parameters

KINDS = ["item_decoder", "decoder_only"]
SIZES = {
    # preset: parameters of ItemDecoder and of DecoderOnly with 4 levels of 256 codes
    "tiny": (250_944, 172_544),
    "small": (685_568, 557_952),
    "base": (4_181_952, 3_672_832),
    "large": (30_684_160, 27_797_504),
    "xlarge": (97_248_640, 90_461_184),
}


def shapes_of(config: ModelConfig):
    """Return the model with shapes for arrays: no memory, no time."""
    return jax.eval_shape(lambda: build_model(config, 0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preset", PRESETS)
def test_presets(preset, kind) -> None:
    config = PRESETS[preset].as_kind(kind, codes_per_level=(256,) * 4)
    model = shapes_of(config)
    assert num_parameters(model) == SIZES[preset][KINDS.index(kind)]
    batch, items = 8, config.max_items
    codes = jax.ShapeDtypeStruct((batch, items + 1, 4), jnp.int32)
    row = jax.ShapeDtypeStruct((batch, items + 1), jnp.int32)
    logits = jax.eval_shape(lambda m, *args: m.logits(*args), model, codes, row, row)
    assert [x.shape for x in logits] == [(batch, items + 1, 256)] * 4

    def decode(model, history, beams):
        _, cache = model.prefill(history)
        return model.step(beams, jnp.zeros_like(beams), cache)

    history = History(codes=jnp.zeros((batch, items, 4), jnp.int32), lengths=jnp.zeros(batch, int))
    beams = jnp.zeros((batch, 50), jnp.int32)
    logits, cache = jax.eval_shape(decode, model, history, beams)
    assert logits.shape == (batch, 50, 256)
    history_items = 1 if kind == "item_decoder" else items * 4 + 1
    assert cache.shared_keys[0].shape[:2] == (batch, history_items)
    assert cache.keys[0].shape[:2] == (batch, 50)
    assert cache.paths.shape == (batch, 50, 1)


def test_presets_are_named_in_the_order_of_their_size() -> None:
    assert list(SIZES) == list(PRESETS)
    assert sorted(SIZES.values()) == list(SIZES.values())


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_parameters(kind) -> None:
    config = PRESETS["tiny"].as_kind(kind, codes_per_level=(5, 6))
    one, again, other = (build_model(config, seed) for seed in (3, 3, 4))
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(x, y)
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    assert any((np.asarray(x) != np.asarray(y)).any() for x, y in pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_a_pytree_of_its_parameters(kind) -> None:
    """Nothing but parameters lies in the tree, and one program serves all parameters."""
    config = PRESETS["tiny"].as_kind(kind, codes_per_level=(5, 6), dropout=0.3)
    model = build_model(config, 0)
    assert sum(x.size for x in jax.tree.leaves(model)) == num_parameters(model)
    traces = []

    @jax.jit
    def total(model):
        traces.append(1)
        row = jnp.ones((1, 2), jnp.int32)
        return sum(x.sum() for x in model.logits(jnp.zeros((1, 2, 2), jnp.int32), row, row))

    first = total(model)
    second = total(build_model(config, 1))
    assert len(traces) == 1
    assert first != second
    graphdef, state = nnx.split(model)
    assert total(nnx.merge(graphdef, state)) == first
