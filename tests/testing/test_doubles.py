"""The test doubles: what the other tests rely on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.decoding import GenerativeModel
from genret.testing import TableModel, random_codes, tiny_catalog


@pytest.fixture
def model() -> TableModel:
    return TableModel.random((4, 3, 5), seed=0)


def test_steps_give_the_logits_of_the_whole_prefix(model: TableModel) -> None:
    assert isinstance(model, GenerativeModel)
    history = jnp.array([7, 8])
    logits, cache = model.prefill(history)
    beams: list[list[tuple[int, ...]]] = [[()], [()]]
    rng = np.random.default_rng(0)
    for level, count in enumerate((4, 3, 5)):
        for request, prefixes in enumerate(beams):
            for beam, prefix in enumerate(prefixes):
                expected = model.logits_after(history, request, prefix)
                np.testing.assert_array_equal(logits[request, beam], expected)
        if level < 2:
            codes = rng.integers(0, count, (2, 6))
            parents = rng.integers(0, len(beams[0]), (2, 6))
            beams = [
                [(*old[p], c) for p, c in zip(parents[b].tolist(), codes[b].tolist(), strict=True)]
                for b, old in enumerate(beams)
            ]
            logits, cache = model.step(jnp.array(codes), jnp.array(parents), cache)


def test_different_prefixes_and_histories_differ(model: TableModel) -> None:
    rows = [
        model.logits_after(jnp.array([history]), 0, prefix).tolist()
        for history in (1, 2)
        for prefix in [(0, 1), (1, 0), (1, 1), (2, 0), (0, 2)]
    ]
    assert len({tuple(row) for row in rows}) == len(rows)


def test_score_tail_equals_stepping(model: TableModel) -> None:
    history = jnp.array([7, 8])
    codes = jnp.array(random_codes(12, (4, 3, 5), seed=3)).reshape(2, 6, 3)
    logits, cache = model.prefill(history)
    zeros = jnp.zeros((2, 6), jnp.int32)
    whole = model.score_tail(codes, zeros, cache)
    assert whole.shape == (2, 6, 3)
    parents = zeros
    for level in range(3):
        tail = model.score_tail(codes[..., level:], parents, cache)
        np.testing.assert_allclose(tail, whole[..., level:], rtol=1e-6)
        log_probs = jnp.take_along_axis(jax.nn.log_softmax(logits), parents[..., None], axis=1)
        chosen = jnp.take_along_axis(log_probs, codes[..., level, None], axis=-1)[..., 0]
        np.testing.assert_allclose(chosen, whole[..., level], rtol=1e-6)
        if level < 2:
            logits, cache = model.step(codes[..., level], parents, cache)
            parents = jnp.tile(jnp.arange(6, dtype=jnp.int32)[None], (2, 1))


def test_any_pytree_is_a_history(model: TableModel) -> None:
    one = {"codes": jnp.arange(12).reshape(2, 3, 2), "lengths": jnp.array([3, 3])}
    other = {"codes": jnp.arange(12).reshape(2, 3, 2), "lengths": jnp.array([3, 2])}
    a, b = model.prefill(one)[0], model.prefill(other)[0]
    np.testing.assert_array_equal(a[0], b[0])
    assert not np.array_equal(a[1], b[1])


def test_codes_of_every_kind() -> None:
    for kind in ("uniform", "zipf", "duplicates"):
        codes = random_codes(300, (50, 4), kind, seed=1)
        assert codes.shape == (300, 2)
        assert codes.dtype == np.int32
        assert (codes < (50, 4)).all()
        np.testing.assert_array_equal(codes, random_codes(300, (50, 4), kind, seed=1))
    shares = [
        np.unique(random_codes(3000, (50,), kind), return_counts=True)[1].max() / 3000
        for kind in ("uniform", "zipf")
    ]
    assert shares[0] < 0.04 < 0.15 < shares[1]
    assert len(np.unique(random_codes(300, (99, 99), "duplicates"), axis=0)) <= 100


def test_the_tiny_catalog_has_a_shared_semantic_id() -> None:
    codes, ids = tiny_catalog()
    assert len(codes) == len(set(ids)) == 6
    assert len(np.unique(codes, axis=0)) == 5
