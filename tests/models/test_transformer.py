"""The stack of blocks: the slots asked for, and rotary angles that are constants of a program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from genret.config import ItemDecoderConfig
from genret.models._attention import causal_mask
from genret.models._layers import rotary_angles, rotate
from genret.models._transformer import Transformer


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("known", [True, False])
def test_the_slots_asked_for_are_those_of_the_whole_row(layers: int, known: bool) -> None:
    config = ItemDecoderConfig(width=16, layers=layers, heads=4, kv_heads=2, head_dim=4, mlp_dim=24)
    model = Transformer(config, layers, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (3, 7, 16))
    segments = jnp.array([[1] * 7, [1, 1, 1, 2, 2, 0, 0], [1, 1, 0, 0, 0, 0, 0]])
    positions = np.arange(7)[None] if known else jnp.array([[0, 1, 2, 3, 4, 5, 6]] * 3)
    wanted = jnp.array([[6, 0], [4, 2], [1, 1]])
    whole, keys, values = model(x, positions, causal_mask(segments))
    some, own_keys, own_values = model(x, positions, causal_mask(segments), wanted=wanted)
    expected = np.take_along_axis(np.asarray(whole), np.asarray(wanted)[:, :, None], axis=1)
    np.testing.assert_allclose(some, expected, atol=1e-5)
    for one, other in zip(keys + values, own_keys + own_values, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("scaling", [(), (4.0,), (8.0, 1.0, 4.0, 32.0)])
def test_constant_angles_equal_computed_ones(scaling: tuple[float, ...]) -> None:
    positions = np.array([[0, 1, 5, 1000], [3, 2, 1, 8191]])
    known = rotary_angles(positions, 8, 1e4, scaling)
    computed = jax.jit(lambda p: rotary_angles(p, 8, 1e4, scaling))(jnp.asarray(positions))
    for one, other in zip(known, computed, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_more_positions_than_a_program_should_carry_are_computed() -> None:
    program = jax.jit(lambda x: x + rotary_angles(np.arange(20_000)[None], 8, 1e4)[0].sum())
    assert "cosine" in program.lower(0.0).as_text()
    program = jax.jit(lambda x: x + rotary_angles(np.arange(200)[None], 8, 1e4)[0].sum())
    assert "cosine" not in program.lower(0.0).as_text()


def test_rotation_turns_pairs_of_the_halves() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 2, 8)).astype(np.float32)
    angles = np.arange(3)[:, None] * 1e4 ** (-np.arange(4) / 4)
    pairs = x[..., :4] + 1j * x[..., 4:]
    expected = pairs * np.exp(1j * angles)[None, :, None, :]
    found = rotate(jnp.asarray(x), rotary_angles(np.arange(3)[None], 8, 1e4))
    np.testing.assert_allclose(found[..., :4], expected.real, atol=1e-5)
    np.testing.assert_allclose(found[..., 4:], expected.imag, atol=1e-5)
