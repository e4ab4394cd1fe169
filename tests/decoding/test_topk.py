"""The choice of the best candidates against a sort."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.decoding.candidates import top_candidates


@settings(max_examples=30)
@given(
    st.sampled_from([(1, 1, 1), (2, 3, 4), (1, 5, 40)]),
    st.sampled_from([1, 4, 12, 300]),
    st.sampled_from([1, 2, 1000]),
    st.integers(0, 999),
)
def test_equals_a_stable_sort(
    shape: tuple[int, int, int], beams: int, values: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = -rng.integers(0, values, shape).astype(np.float32)
    scores[rng.random(shape) < 0.3] = -np.inf
    best, parents, slots = (np.asarray(x) for x in top_candidates(jnp.asarray(scores), beams))
    for b in range(shape[0]):
        real = [i for i in np.ndindex(*shape[1:]) if scores[b][i] > -np.inf]
        expected = sorted(real, key=lambda i: (-scores[b][i], i))[:beams]
        n = len(expected)
        assert list(zip(parents[b, :n].tolist(), slots[b, :n].tolist(), strict=True)) == expected
        assert best[b, :n].tolist() == [scores[b][i] for i in expected]
        assert (best[b, n:] == -np.inf).all()
    assert parents.max() < shape[1]
    assert slots.max() < shape[2]


@pytest.mark.parametrize("size", [257, 5000, 70_000])
def test_ties_of_many_candidates(size: int) -> None:
    """Backends change their algorithm with the size; the order stays."""
    scores = jnp.zeros((1, 1, size)).at[0, 0, 100].set(1.0)
    _, _, slots = top_candidates(scores, 70)
    assert slots[0].tolist() == [100, *range(69)]
