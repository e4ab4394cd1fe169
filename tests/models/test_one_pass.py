"""OnePass: the hybrid mask, packing, and a search that asks it once."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.config import OnePassConfig
from genret.decoding import ParallelHeads, beam_search
from genret.errors import GenretError
from genret.index import TrieIndex
from genret.models import History, build_model, load_model, save_model

CODES = (7, 5, 3)
CONFIG = OnePassConfig(codes_per_level=CODES, width=16, heads=2, kv_heads=1, head_dim=8, mlp_dim=24)


def random_codes(rng, *shape):
    return np.stack([rng.integers(0, v, shape) for v in CODES], axis=-1).astype(np.int32)


@pytest.fixture(scope="module")
def model():
    return jax.jit(lambda: build_model(CONFIG, 0))()


@jax.jit
def logits_of(model, codes, segments, positions):
    return model.logits(codes, segments, positions)


SEGMENTS = jnp.asarray([[1, 1, 1, 2, 2, 0], [1, 1, 1, 1, 1, 1]])
POSITIONS = jnp.asarray([[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5]])


def test_a_code_depends_on_all_codes_of_the_earlier_items_only(model) -> None:
    codes = random_codes(np.random.default_rng(0), 2, 6)
    before = logits_of(model, codes, SEGMENTS, POSITIONS)
    for t, level in itertools.product(range(6), range(3)):
        changed = codes.copy()
        changed[0, t, level] = (changed[0, t, level] + 1) % CODES[level]
        after = logits_of(model, changed, SEGMENTS, POSITIONS)
        for u, k in itertools.product(range(6), range(3)):
            moved = np.abs(after[k][0, u] - before[k][0, u]).max()
            if SEGMENTS[0, t] == SEGMENTS[0, u] and u > t:
                assert moved > 1e-5, (t, level, u, k)
            else:
                assert moved == 0, (t, level, u, k)


def test_the_pass_equals_the_full_forward(model) -> None:
    """Ragged histories, one of them empty: the logits are those of the position after the last."""
    rng = np.random.default_rng(1)
    lengths = np.array([0, 3, 5])
    codes = random_codes(rng, 3, 5)
    padded = np.concatenate([codes, random_codes(rng, 3, 1)], axis=1)
    segments = (np.arange(6)[None] <= lengths[:, None]).astype(np.int32)
    positions = np.broadcast_to(np.arange(6), (3, 6))
    full = logits_of(model, padded, jnp.asarray(segments), jnp.asarray(positions))
    codes[0] = 2**31 - 100  # padding may hold anything
    history = History(codes=jnp.asarray(codes), lengths=jnp.asarray(lengths))
    found = jax.jit(lambda m, h: m(h))(model, history)
    for level, logits in enumerate(found):
        np.testing.assert_allclose(logits, full[level][np.arange(3), lengths], atol=2e-5)


@pytest.mark.slow
def test_it_is_searched_like_parallel_heads(model, tmp_path) -> None:
    codes = random_codes(np.random.default_rng(2), 30)
    index = TrieIndex.from_codes(codes, codes_per_level=CODES)
    history = History.from_items(codes, [[], [3, 9, 12, 3]], max_items=5)
    save_model(tmp_path, model)
    own = beam_search(load_model(tmp_path), history, index, beams=12, tail=30)
    wrapped = beam_search(ParallelHeads(model=model), history, index, beams=12)
    np.testing.assert_array_equal(own.items, wrapped.items)
    np.testing.assert_allclose(own.scores, wrapped.scores, atol=1e-5)
    log_probs = [np.asarray(jax.nn.log_softmax(x)) for x in model(history)]
    exact = sum(log_probs[level][:, codes[:, level]] for level in range(3))
    np.testing.assert_allclose(own.scores, -np.sort(-exact, axis=1)[:, :12], atol=1e-4)


@pytest.mark.slow
def test_misuse_is_refused(model) -> None:
    history = History(codes=jnp.zeros((2, 3, 3), jnp.int32), lengths=jnp.asarray([2, 0]))
    zeros = jnp.zeros((2, 4), jnp.int32)
    _, cache = model.prefill(history)
    with pytest.raises(GenretError, match="score_tail: found 2 codes a candidate, expected 3"):
        model.score_tail(jnp.zeros((2, 4, 2), jnp.int32), zeros, cache)
    for _ in range(2):
        _, cache = model.step(zeros, zeros, cache)
    with pytest.raises(GenretError, match="step: the cache is at level 2, the last of 3"):
        model.step(zeros, zeros, cache)
