"""RPG: what a state knows, cosines, packing, and items scored by the sum of their codes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.config import RPGConfig
from genret.errors import GenretError
from genret.models import CodeScores, History, build_model, load_model, save_model
from genret.models._code_scores import sum_of_codes

CODES = (7, 5, 300)
CONFIG = RPGConfig(codes_per_level=CODES, width=16, heads=2, kv_heads=1, head_dim=8, mlp_dim=24)
SEGMENTS = jnp.asarray([[1, 1, 1, 2, 2, 0], [1, 1, 1, 1, 1, 1]])
POSITIONS = jnp.asarray([[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5]])


def random_codes(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return np.stack([rng.integers(0, v, shape) for v in CODES], axis=-1).astype(np.int32)


@pytest.fixture(scope="module")
def model():
    return jax.jit(lambda: build_model(CONFIG, 0))()


@jax.jit
def logits_of(model, codes, segments, positions):
    return model.logits(codes, segments, positions)


def test_a_state_knows_the_earlier_items_of_its_segment_only(model) -> None:
    codes = random_codes(np.random.default_rng(0), 2, 6)
    before = logits_of(model, codes, SEGMENTS, POSITIONS)
    for t in range(6):
        changed = codes.copy()
        changed[0, t, 1] = (changed[0, t, 1] + 1) % CODES[1]
        after = logits_of(model, changed, SEGMENTS, POSITIONS)
        for u in range(6):
            moved = max(np.abs(a[0, u] - b[0, u]).max() for a, b in zip(after, before, strict=True))
            knows = SEGMENTS[0, t] == SEGMENTS[0, u] and u > t
            assert (moved > 1e-5) if knows else (moved == 0), (t, u)


def test_the_pass_equals_the_full_forward(model) -> None:
    """Ragged histories, one of them empty: the logits are those of the position after the last."""
    rng = np.random.default_rng(1)
    lengths = np.array([0, 3, 5])
    codes = random_codes(rng, 3, 5)
    padded = np.concatenate([codes, random_codes(rng, 3, 1)], axis=1)
    segments = (np.arange(6)[None] <= lengths[:, None]).astype(np.int32)
    positions = np.broadcast_to(np.arange(6), (3, 6))
    full = logits_of(model, padded, jnp.asarray(segments), jnp.asarray(positions))
    codes[0] = 2**31 - 400  # padding may hold anything
    history = History(codes=jnp.asarray(codes), lengths=jnp.asarray(lengths))
    found = jax.jit(lambda m, h: m(h))(model, history)
    for level, logits in enumerate(found):
        np.testing.assert_allclose(logits, full[level][np.arange(3), lengths], atol=5e-5)


def test_logits_are_cosines_over_the_temperature(model) -> None:
    """No logit exceeds 1 / temperature, and a code in the direction of its state reaches it."""
    codes = random_codes(np.random.default_rng(2), 2, 6)
    states = model.states(jnp.asarray(codes), SEGMENTS, POSITIONS)
    lengths = np.linalg.norm(np.asarray(states), axis=-1)
    np.testing.assert_allclose(lengths, 1 / CONFIG.temperature, rtol=1e-5)
    vectors = model._output_vectors(2)
    np.testing.assert_allclose(np.linalg.norm(np.asarray(vectors), axis=-1), 1, rtol=1e-5)
    halved = build_model(dataclasses.replace(CONFIG, temperature=0.14), 0)
    np.testing.assert_allclose(
        2 * logits_of(halved, codes, SEGMENTS, POSITIONS)[0],
        logits_of(model, codes, SEGMENTS, POSITIONS)[0],
        atol=1e-4,
    )


@settings(max_examples=30, deadline=None)
@given(
    codes=st.lists(st.tuples(*(st.integers(0, v - 1) for v in CODES)), min_size=1, max_size=9),
    huge=st.sampled_from([1.0, 1e30, np.inf]),
    seed=st.integers(0, 2**31),
)
def test_sums_equal_numpys(codes: list[tuple[int, ...]], huge: float, seed: int) -> None:
    """Few and equal items, codes of a byte and of two, log-probabilities of any size and of -inf."""
    rng = np.random.default_rng(seed)
    items = np.array(codes, np.int32)
    parts = [-np.abs(rng.normal(size=(2, v))).astype(np.float32) for v in CODES]
    parts[1][:, ::2] *= np.float32(huge)
    expected = sum(part[:, items[:, level]] for level, part in enumerate(parts))
    for kind in (np.int32, np.uint16):
        found = sum_of_codes([jnp.asarray(part) for part in parts], jnp.asarray(items, kind))
        np.testing.assert_array_equal(found, expected)


def test_every_item_is_scored_by_its_codes(model, tmp_path) -> None:
    codes = random_codes(np.random.default_rng(3), 30)
    save_model(tmp_path, model)
    scores = CodeScores.of(load_model(tmp_path), jnp.asarray(codes))
    assert scores.codes.dtype == np.uint16
    history = History.from_items(codes, [[], [3, 9, 12, 3]], max_items=5)
    found, cache = scores.prefill(history)
    assert cache is None
    log_probs = [np.asarray(jax.nn.log_softmax(x)) for x in model(history)]
    expected = sum(log_probs[level][:, codes[:, level]] for level in range(3))
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4)
    with pytest.raises(GenretError, match="no level follows"):
        scores.step(jnp.zeros((2, 1), int), jnp.zeros((2, 1), int), None)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_no_such_temperature(temperature: float) -> None:
    with pytest.raises(GenretError, match="temperature: found"):
        RPGConfig(temperature=temperature)
