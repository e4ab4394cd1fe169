"""The choice among all codes of all beams: a stable sort, the reference and the kernel."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels import KernelError
from genret_kernels.dense_level import dense_level

QUICK = {"xla_backend_optimization_level": "0"}  # an interpreted kernel is a large program


def drawn(seed: int, batch: int, held: int, codes: int, shared: bool) -> tuple[np.ndarray, ...]:
    """Draw logits whose normalizers are exact, with many ties, -inf, and NaN where nobody looks."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 1 << 32, (batch, held, -(-codes // 32)), dtype=np.uint64)
    words = words.astype(np.uint32)
    if seed % 2:
        words &= rng.integers(0, 1 << 16, words.shape).astype(np.uint32)
    words[..., -1] &= np.uint32((1 << (codes % 32 or 32)) - 1)
    base = -100.0 * np.sort(rng.integers(0, 3, (batch, held)), axis=1).astype(np.float32)
    base[rng.random(base.shape) < 0.2] = -np.inf
    logits = -200.0 * rng.integers(0, 3, (batch, 1 if shared else held, codes)).astype(np.float32)
    logits[..., -1] = 0  # a power of e to the 0; the sum counts these
    logits[rng.random(logits.shape) < 0.1] = -np.inf
    if not shared:
        logits[base == -np.inf] = np.nan
    return logits, words, base


def expected(
    logits: np.ndarray, words: np.ndarray, base: np.ndarray, beams: int
) -> tuple[np.ndarray, ...]:
    """Sort everything."""
    batch, held, _ = words.shape
    codes = logits.shape[-1]
    bits = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")[..., :codes] == 1
    logits = np.broadcast_to(logits, (batch, held, codes))
    with np.errstate(invalid="ignore", divide="ignore"):
        count = (logits == 0).sum(axis=-1)  # all others are at most e to the -200: nothing
        normalizer = np.asarray(jnp.log(jnp.asarray(count, jnp.float32)))
        lowest = (count == 0)[..., None]
        scores = base[..., None] + (logits - normalizer[..., None])
    scores = np.where(bits & ~lowest & (scores > -np.inf), scores, -np.inf).reshape(batch, -1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :beams]
    order = np.pad(order, ((0, 0), (0, beams - order.shape[1])))
    best = np.take_along_axis(scores, order, axis=1)
    best[:, scores.shape[1] :] = -np.inf
    order = np.where(best > -np.inf, order, 0)
    return best, order // codes, order % codes


def test_reference_with_groups_of_nothing() -> None:
    """The best groups include some without a candidate, which may not stand for others."""
    logits, words, base = drawn(2, 2, 40, 500, False)
    words[:, :-1] = 0
    words[:, -1, 1:] = 0
    base[:] = 0
    logits = np.where(np.arange(500) == 0, 0, np.full_like(logits, -200.0))
    found = dense_level(*map(jnp.asarray, (logits, words, base)), beams=50)
    for own, wanted in zip(found, expected(logits, words, base, 50), strict=True):
        np.testing.assert_array_equal(np.asarray(own), wanted)


def some_zero(logits: np.ndarray) -> np.ndarray:
    """Give every beam that counts a code of logit 0, so that its normalizer is a count's."""
    return np.where(
        np.isnan(logits[..., :1]), logits, np.where(np.arange(logits.shape[-1]) == 0, 0, logits)
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("batch", "held", "codes", "beams"), [(2, 6, 300, 9), (3, 1, 33, 70)])
def test_reference(seed: int, batch: int, held: int, codes: int, beams: int) -> None:
    logits, words, base = drawn(seed, batch, held, codes, seed % 3 == 0)
    logits = some_zero(logits).astype(np.float32)
    found = dense_level(*map(jnp.asarray, (logits, words, base)), beams=beams)
    for own, wanted in zip(found, expected(logits, words, base, beams), strict=True):
        np.testing.assert_array_equal(np.asarray(own), wanted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch", "held", "codes", "beams", "dtype"),
    [
        (2, 6, 300, 9, jnp.float32),
        (3, 1, 33, 70, jnp.bfloat16),
        (1, 20, 1000, 20, jnp.float32),
        (1, 2, 600, 200, jnp.float32),  # more beams than groups
        (1, 3, 256, 6, jnp.float32),  # as many
        (1, 40, 500, 30, jnp.float32),  # the reference looks at groups
        (8, 5, 256, 9, jnp.float32),  # several steps of a TPU's grid
        (8, 1, 256, 9, jnp.float32),
        (4, 36, 300, 40, jnp.float32),  # many candidates of many requests: two bits a round
        (2, 3, 1500, 9, jnp.float32),  # the words of a beam fill a TPU's register twice
        (1, 3, 5000, 9, jnp.float32),  # they fill more than one
    ],
)
@pytest.mark.parametrize("name", ["pallas_tpu", "pallas_gpu"])
def test_kernel_is_the_reference(
    batch: int, held: int, codes: int, beams: int, dtype: Any, name: str
) -> None:
    own = partial(dense_level, beams=beams)
    kernel = jax.jit(partial(own, implementation=name, interpret=True), compiler_options=QUICK)
    reference = jax.jit(own)
    for seed in range(6):
        logits, words, base = drawn(seed, batch, held, codes, False)
        logits = some_zero(logits)
        arrays = (jnp.asarray(logits, dtype), jnp.asarray(words), jnp.asarray(base))
        for found, wanted in zip(kernel(*arrays), reference(*arrays), strict=True):
            np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


def test_what_does_not_fit_is_refused() -> None:
    logits, words, base = map(jnp.asarray, drawn(0, 1, 3, 40, False))
    with pytest.raises(KernelError, match="logits: found 2 beams, expected 1 or 3"):
        dense_level(logits[:, :2], words, base, beams=4)
    with pytest.raises(KernelError, match="beams with 'pallas_tpu': found 513"):
        dense_level(logits, words, base, beams=513, implementation="pallas_tpu")
