"""The projection of a level against all of its logits."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels.project_level import project_level, reference

KERNELS = ["pallas_tpu", "pallas_gpu"]
run = jax.jit(project_level, static_argnames=("implementation", "interpret"))


def draw(
    seed: int, shape: tuple[int, int, int], num_codes: int, asked: int, dtype: Any
) -> tuple[jax.Array, ...]:
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=shape)
    table = rng.normal(size=(num_codes, shape[2]))
    codes = rng.integers(0, num_codes, (*shape[:2], asked))
    codes[rng.random(codes.shape) < 0.3] = -1
    codes[..., -1] = num_codes - 1
    return jnp.asarray(hidden, dtype), jnp.asarray(table, dtype), jnp.asarray(codes, jnp.int32)


def slow(hidden: Any, table: Any, codes: Any) -> tuple[np.ndarray, np.ndarray]:
    logits = np.asarray(hidden, np.float64) @ np.asarray(table, np.float64).T
    codes = np.asarray(codes)
    found = np.take_along_axis(logits, np.maximum(codes, 0), axis=-1)
    highest = logits.max(axis=-1)
    logsumexp = highest + np.log(np.exp(logits - highest[..., None]).sum(axis=-1))
    return np.where(codes >= 0, found, -np.inf), logsumexp


# (B, M, D), V, K: one of everything; V around a register, a block and more; more beams than a block
# has; D that no block divides; K past a register.
CASES = [
    ((1, 1, 1), 1, 1),
    ((2, 3, 16), 37, 5),
    ((1, 2, 70), 129, 130),
    ((2, 130, 33), 1100, 3),
    ((1, 5, 64), 512, 128),
]


def check(found: Any, expected: Any, tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("shape", "num_codes", "asked"), CASES)
def test_equals_all_logits(shape: tuple[int, int, int], num_codes: int, asked: int) -> None:
    args = draw(0, shape, num_codes, asked, jnp.float32)
    check(run(*args), slow(*args), 2e-5)


def test_many_beams_in_several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    args = draw(0, (3, 7, 8), 50, 4, jnp.float32)
    for logits in (1, 50 * 4, 50 * 21):
        monkeypatch.setattr(reference, "LOGITS", logits)
        check(jax.jit(partial(project_level))(*args), slow(*args), 2e-5)


@pytest.mark.parametrize(("shape", "num_codes", "asked"), CASES)
@pytest.mark.parametrize("name", KERNELS)
def test_kernel_equals_the_op(
    shape: tuple[int, int, int], num_codes: int, asked: int, name: str
) -> None:
    dtype = jnp.bfloat16 if asked % 2 else jnp.float32
    args = draw(1, shape, num_codes, asked, dtype)
    check(run(*args, implementation=name, interpret=True), run(*args), 1e-5)


def test_kernel_stays_inside_its_memory(tpu_memory: Any) -> None:
    """Two blocks of beams and three of codes, none of them whole."""
    args = draw(2, (1, 140, 24), 1100, 3, jnp.bfloat16)
    check(run(*args, implementation="pallas_tpu", interpret=tpu_memory), run(*args), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "num_codes", "asked"), CASES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_kernel_stays_inside_its_memory_in_every_case(
    shape: tuple[int, int, int], num_codes: int, asked: int, dtype: Any, tpu_memory: Any
) -> None:
    args = draw(2, shape, num_codes, asked, dtype)
    check(run(*args, implementation="pallas_tpu", interpret=tpu_memory), run(*args), 1e-5)


@pytest.mark.parametrize("name", [None, *KERNELS])
def test_adversarial_numbers(name: str | None) -> None:
    """Logits of thousands; one that dwarfs the rest, first and last; a beam that is no beam."""
    hidden, table, codes = draw(3, (1, 6, 16), 600, 4, jnp.float32)
    hidden = hidden.at[0, :4].multiply(1000)
    table = table.at[0].multiply(50).at[-1].multiply(60)
    own = partial(run, implementation=name, interpret=True)
    check(own(hidden, table, codes), slow(hidden, table, codes), 1e-4)
    _, expected = own(hidden, table, codes)
    _, found = own(hidden.at[0, 2].set(jnp.nan), table, codes)
    kept = np.array([0, 1, 3, 4, 5])
    np.testing.assert_array_equal(found[0, kept], expected[0, kept])


@pytest.mark.parametrize("name", [None, *KERNELS])
def test_all_logits_are_never_there(name: str | None, computed: Any) -> None:
    shapes = ((4, 300, 64), (2048, 64), (4, 300, 8))
    types = (jnp.bfloat16, jnp.bfloat16, jnp.int32)
    args = [jax.ShapeDtypeStruct(s, d) for s, d in zip(shapes, types, strict=True)]
    own = partial(project_level, implementation=name)
    largest = max(np.prod(x.shape) for x in computed(own, *args) if hasattr(x, "shape"))
    assert 0 < largest < 4 * 300 * 2048
