"""The scores of the children against a loop over them, and the kernel against the op."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels.gather_candidates import gather_candidates
from hypothesis import given, settings
from hypothesis import strategies as st

NONE = np.iinfo(np.int32)
jitted = jax.jit(gather_candidates, static_argnames=("width", "implementation", "interpret"))


def draw(
    seed: int, shape: tuple[int, int, int], num_edges: int, width: int, dtype: Any, code_dtype: Any
) -> tuple[jax.Array, ...]:
    """Return arguments with NaN wherever nothing may be read."""
    rng = np.random.default_rng(seed)
    batch, beams, num_codes = shape
    codes = rng.integers(0, num_codes, num_edges)
    begin = rng.integers(0, num_edges + 2, (batch, beams))
    begin[rng.random(begin.shape) < 0.3] = num_edges - 1
    counts = rng.integers(0, width + 2, begin.shape)
    logits = rng.normal(size=shape).astype(np.float32)
    logits[rng.random(shape) < 0.1] = -np.inf
    base, normalizer = rng.normal(size=(2, batch, beams)).astype(np.float32)
    base[rng.random(base.shape) < 0.2] = -np.inf
    for b, m in np.ndindex(batch, beams):
        slots = np.arange(min(counts[b, m], width))
        read = codes[np.minimum(begin[b, m] + slots, num_edges - 1)]
        logits[b, m, np.setdiff1d(np.arange(num_codes), read)] = np.nan
        if counts[b, m] == 0:  # a beam that is no beam: nothing of it may matter
            base[b, m], normalizer[b, m] = np.nan, np.nan
            begin[b, m] = rng.choice([NONE.min, -5, num_edges + 7, NONE.max])
    return (
        jnp.asarray(logits, dtype),
        jnp.asarray(codes, code_dtype),
        jnp.asarray(begin, jnp.int32),
        jnp.asarray(counts, jnp.int32),
        jnp.asarray(base),
        jnp.asarray(normalizer),
    )


def slow(
    logits: Any, codes: Any, begin: Any, counts: Any, base: Any, normalizer: Any, width: int
) -> tuple[np.ndarray, np.ndarray]:
    logits = np.asarray(logits, np.float32)
    codes, begin, counts, base, normalizer = map(
        np.asarray, (codes, begin, counts, base, normalizer)
    )
    scores = np.full((*begin.shape, width), -np.inf, np.float32)
    found = np.full(scores.shape, -1, np.int32)
    for b, m in np.ndindex(*begin.shape):
        for k in range(min(counts[b, m], width)):
            code = codes[min(begin[b, m] + k, len(codes) - 1)]
            score = base[b, m] + (logits[b, m, code] - normalizer[b, m])
            scores[b, m, k], found[b, m, k] = score, code
    return scores, found


# (B, M, V), E, K: one of everything; a level smaller than a window; two registers of lanes and the
# next; one more beam than a block has; V just around a register; K that needs two tiles.
CASES = [
    ((1, 1, 1), 1, 1),
    ((1, 1, 37), 5, 1),
    ((2, 3, 129), 300, 5),
    ((2, 17, 300), 5000, 130),
    ((1, 33, 128), 1024, 128),
    ((2, 2, 127), 769, 257),
]


@pytest.mark.parametrize(("shape", "num_edges", "width"), CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_a_loop(shape: tuple[int, int, int], num_edges: int, width: int, seed: int) -> None:
    args = draw(seed, shape, num_edges, width, jnp.float32, jnp.uint16)
    scores, codes = jitted(*args, width=width)
    expected_scores, expected_codes = slow(*args, width=width)
    np.testing.assert_array_equal(scores, expected_scores)
    np.testing.assert_array_equal(codes, expected_codes)


def check_kernel(
    shape: tuple[int, int, int], num_edges: int, width: int, dtypes: Any, interpret: Any
) -> None:
    args = draw(2, shape, num_edges, width, *dtypes)
    expected = jitted(*args, width=width)
    found = jitted(*args, width=width, implementation="pallas_tpu", interpret=interpret)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)  # bit by bit


TYPES = [(jnp.float32, jnp.uint16), (jnp.bfloat16, jnp.uint32)]


@pytest.mark.parametrize(("shape", "num_edges", "width"), CASES)
def test_kernel_equals_the_op(shape: tuple[int, int, int], num_edges: int, width: int) -> None:
    check_kernel(shape, num_edges, width, TYPES[width % 2], True)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "num_edges", "width"), CASES)
@pytest.mark.parametrize("dtypes", TYPES)
def test_kernel_equals_the_op_in_every_type(
    shape: tuple[int, int, int], num_edges: int, width: int, dtypes: Any, tpu_memory: Any
) -> None:
    check_kernel(shape, num_edges, width, dtypes, tpu_memory)


@pytest.mark.parametrize("dtypes", TYPES)
def test_kernel_stays_inside_its_memory(dtypes: Any, tpu_memory: Any) -> None:
    """Two grid steps and a half: copies into the one half of the memory while the other is read."""
    check_kernel((2, 20, 130), 1500, 140, dtypes, tpu_memory)


@settings(max_examples=40)
@given(st.sampled_from([1023, 1025]), st.integers(0, 10_000))
def test_kernel_reads_every_alignment(num_edges: int, seed: int) -> None:
    """Runs begin anywhere in a tile, and end anywhere before, at and after the last one."""
    args = list(draw(seed, (1, 16, 140), num_edges, 200, jnp.float32, jnp.uint16))
    args[0] = jnp.asarray(np.random.default_rng(seed).normal(size=(1, 16, 140)), jnp.float32)
    run = partial(jitted, *args, width=200)
    for found, expected in zip(
        run(implementation="pallas_tpu", interpret=True), run(), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_scores_that_are_no_numbers_win_nothing() -> None:
    """A beam of score -inf with a logit of +inf, and a NaN of the model."""
    logits = jnp.array([[[jnp.inf, jnp.nan, 1.0]]])
    args = (logits, jnp.arange(3, dtype=jnp.uint16), jnp.zeros((1, 1), jnp.int32))
    beam = (jnp.full((1, 1), 3), jnp.full((1, 1), -jnp.inf), jnp.zeros((1, 1)))
    for name in ("xla", "pallas_tpu"):
        scores, _ = jitted(*args, *beam, width=3, implementation=name, interpret=True)
        assert (scores == -jnp.inf).all()
