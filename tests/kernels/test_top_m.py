"""The choice of the best candidates against a stable sort."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels.top_m import reference, top_m
from genret_kernels.top_m.arg_specs import ARG_SPECS
from hypothesis import given, settings
from hypothesis import strategies as st

jitted = jax.jit(top_m, static_argnames=("m",))


def check(values: np.ndarray, m: int) -> None:
    best, where = (np.asarray(x) for x in jitted(jnp.asarray(values), m=m))
    expected = np.argsort(-values, axis=1, kind="stable")[:, :m]  # -0 and 0 are equal
    np.testing.assert_array_equal(where, expected)
    np.testing.assert_array_equal(best, np.take_along_axis(values, expected, axis=1))


@settings(max_examples=40)
@given(
    st.sampled_from([(1, 1), (2, 127), (1, 128), (3, 129), (2, 1000), (1, 4096)]),
    st.sampled_from([1, 2, 7, 31, 512]),
    st.sampled_from([1, 2, 1000]),
    st.sampled_from([0.0, 0.5, 0.999, 1.0]),
    st.integers(0, 9999),
)
def test_equals_a_stable_sort(
    shape: tuple[int, int], m: int, distinct: int, missing: float, seed: int
) -> None:
    """With ties inside a group and across groups, signed zeros, and rows of almost nothing."""
    rng = np.random.default_rng(seed)
    values = -rng.integers(0, distinct, shape).astype(np.float32)  # -0 among them
    values[rng.random(shape) < 0.1] = 0.0
    values[rng.random(shape) < missing] = -np.inf
    check(values, min(m, shape[1]))


@pytest.mark.parametrize("name", [n for n in ARG_SPECS if n != "batch-2048"])
def test_sizes_of_the_paper(name: str) -> None:
    """With values that tie in each group, so that the wrong group would show."""
    spec = ARG_SPECS[name]
    rng = np.random.default_rng(0)
    check(rng.integers(0, 50, (spec.batch, spec.candidates)).astype(np.float32), spec.m)


@pytest.mark.slow
def test_largest_size() -> None:
    spec = ARG_SPECS["batch-2048"]
    check(np.random.default_rng(0).normal(size=(2, spec.candidates)).astype(np.float32), spec.m)


def test_groups_are_chosen_by_their_own_order() -> None:
    """All values are equal: the groups that tie must be the first ones, and in their order."""
    check(np.zeros((1, 128 * 50), np.float32), 20)
    descending = np.repeat(np.arange(50, 0, -1), 128).astype(np.float32)[None]
    check(descending, 20)
    check(descending[:, ::-1].copy(), 20)


def test_the_twin_sees_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups in order of their maxima, not of their numbers, break ties the wrong way."""
    values = np.zeros((1, 128 * 50), np.float32)
    values[0, 128 * 40] = 1.0
    monkeypatch.setattr(reference.jnp, "sort", lambda x, axis: x)
    _, where = reference.top_m(jnp.asarray(values), 20)
    assert where.tolist() != np.argsort(-values, axis=1, kind="stable")[:, :20].tolist()
