"""A level of beams that carry the codes below them: the kernel against the reference.

The reference is held against the whole search, see ``tests/decoding/test_accelerated.py``.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels import KernelError
from genret_kernels.rows_level import layout, rows_level

QUICK = {"xla_backend_optimization_level": "0"}  # an interpreted kernel is a large program


def drawn(
    seed: int, batch: int, beams: int, codes: int, width: int, levels: int, level: int, first: int,
    shared: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:  # fmt: skip
    """Draw beams, the sorted codes below them and logits whose normalizers are exact."""
    rng = np.random.default_rng(seed)
    few = codes if seed % 2 else min(codes, 3)
    rows = rng.integers(0, few, (batch, beams, width, levels))
    rows[..., : level - first] = rows[..., :1, : level - first]  # the rows of a beam share these
    for own in rows.reshape(-1, width, levels):
        own[:] = own[np.lexsort(own.T[::-1])]
    pairs = np.zeros((*rows.shape[:3], 2 * layout.num_words(levels)), np.uint32)
    pairs[..., :levels] = rows
    words = (pairs[..., ::2] | pairs[..., 1::2] << 16).transpose(0, 1, 3, 2)
    count = rng.integers(0, width + 1, (batch, beams)).astype(np.int32)
    there = count[..., None] > 0
    allowed = rng.integers(0, 1 << 32, (batch, beams), dtype=np.uint64).astype(np.uint32)
    scores = -100.0 * np.sort(rng.integers(0, 3, (batch, beams)), axis=1).astype(np.float32)
    so_far = rng.integers(0, few, (batch, beams, level)).astype(np.int32)
    lo = rng.integers(0, 1000, (batch, beams)).astype(np.int32)
    state = layout.pack(
        jnp.asarray(so_far * there),
        jnp.asarray(np.where(count > 0, scores, -np.inf).astype(np.float32)),
        jnp.asarray(lo * there[..., 0]),
        jnp.asarray(count),
        jnp.asarray(allowed),
        jnp.asarray(words * there[..., None]),
    )
    logits = -200.0 * rng.integers(0, 3, (batch, 1 if shared else beams, codes)).astype(np.float32)
    logits[rng.random(logits.shape) < 0.1] = -np.inf
    logits[..., 0] = 0
    if not shared:
        logits = np.where(there, logits, np.nan)
    limit = rng.integers(beams // 2, beams + 1, batch).astype(np.int32)
    return jnp.asarray(logits), state, jnp.asarray(limit)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch", "beams", "codes", "width", "levels", "level", "first", "dtype"),
    [
        (2, 12, 300, 8, 6, 2, 2, jnp.float32),
        (3, 5, 33, 4, 3, 3, 2, jnp.bfloat16),
        (1, 130, 40, 2, 4, 4, 2, jnp.float32),
        (2, 7, 5, 1, 1, 0, 0, jnp.float32),
        (8, 9, 256, 4, 3, 2, 2, jnp.float32),  # several steps of a TPU's grid
    ],
)
@pytest.mark.parametrize("name", ["pallas_tpu", "pallas_gpu"])
def test_kernel_is_the_reference(
    batch: int, beams: int, codes: int, width: int, levels: int, level: int, first: int, dtype: Any,
    name: str,
) -> None:  # fmt: skip
    own = partial(
        rows_level, level=level, first=first, width=width, stride=width, beams=beams,
        end_code=1 if level else None,
    )  # fmt: skip
    kernel = jax.jit(partial(own, implementation=name, interpret=True), compiler_options=QUICK)
    reference = jax.jit(own)
    for seed in range(6):
        logits, state, limit = drawn(
            seed, batch, beams, codes, width, levels, level, first, seed == 5
        )
        arrays = (logits.astype(dtype), state, limit)
        for found, wanted in zip(kernel(*arrays), reference(*arrays), strict=True):
            np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


def test_what_does_not_fit_is_refused() -> None:
    logits, state, limit = drawn(0, 1, 5, 9, 4, 2, 0, 0, False)
    own = partial(rows_level, level=0, first=0, width=4, stride=4, beams=5)
    with pytest.raises(KernelError, match="width: found 3, expected a power of two"):
        own(logits, state, limit, width=3)
    with pytest.raises(KernelError, match="state: found"):
        own(logits, state[:, :5], limit)
    with pytest.raises(KernelError, match="the records have no room"):
        own(logits, state, limit, level=23, first=10, stride=32)
