"""A level whose children lie in lines of a table: the kernel against the reference.

The lines are those of an index of random items; the reference is held against the whole search, see
``tests/decoding/test_accelerated.py``.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels import KernelError
from genret_kernels.lines_level import LinesLayout, lines_level
from genret_kernels.rows_level.layout import NODE, pack

from genret import TrieIndex
from genret.index.ragged_lines import RaggedLines, wide_nodes

QUICK = {"xla_backend_optimization_level": "0"}  # an interpreted kernel is a large program

Level = tuple[jax.Array, jax.Array, LinesLayout, np.ndarray, np.ndarray, np.ndarray]


def level_of(codes: int, items: int, *, last: bool) -> Level:
    """Return lines, cells, static facts, and number, first row and end of each node of a level."""
    rng = np.random.default_rng(codes)
    counts = (40, codes) if last else (40, codes, 5000, 300)
    ids = np.minimum(rng.zipf(1.2, (items, len(counts))) - 1, np.array(counts) - 1)
    ids[:, 1] = np.where(np.arange(items) % 3, rng.integers(0, codes, items), ids[:, 1])
    trie = TrieIndex.from_codes(ids, codes_per_level=counts).to("tpu").trie
    plan, rows = trie.accelerated, ids[np.lexsort(ids.T[::-1])]
    assert plan is not None
    branch = plan.branches[1]
    assert isinstance(branch, RaggedLines)
    above = np.diff(rows[:, 0], prepend=-1) != 0
    lo = np.flatnonzero(above)
    number = np.cumsum(wide_nodes(above)) - 1
    return branch.lines, branch.cells.lines, branch.layout, number, lo, np.append(lo[1:], items)


def drawn(
    level: Level, seed: int, batch: int, beams: int, *, shared: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draw beams at nodes of a level and logits whose normalizers are exact, with many ties."""
    *_, layout, number, lo, hi = level
    rng = np.random.default_rng(seed)
    node = rng.integers(0, lo.size, (batch, beams))
    there = rng.random((batch, beams)) < 0.8
    scores = -100.0 * np.sort(rng.integers(0, 3, (batch, beams)), axis=1).astype(np.float32)
    integers = (node[..., None] % 7, lo[node], (hi - lo)[node], number[node])
    codes, first, count, nodes = (
        jnp.asarray(np.where(there.reshape(batch, beams, *[1] * (x.ndim - 2)), x, 0), jnp.int32)
        for x in integers
    )
    state = pack(
        codes, jnp.asarray(np.where(there, scores, -np.inf), jnp.float32), first, count,
        jnp.where(jnp.asarray(there), jnp.uint32(0xFFFFFFFF), 0), nodes=nodes,
    )  # fmt: skip
    size = (batch, 1 if shared else beams, layout.num_codes + seed % 2)  # some have an end code
    logits = -200.0 * rng.integers(0, 3, size).astype(np.float32)
    logits[rng.random(size) < 0.1] = -np.inf
    logits[..., 0] = 0
    if not shared:
        logits = np.where(there[..., None], logits, np.nan)
    limit = rng.integers(beams // 2, beams + 1, batch)
    return jnp.asarray(logits), state, jnp.asarray(limit, jnp.int32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codes", "items", "batch", "beams", "last"),
    [
        (5000, 3000, 2, 9, False),
        pytest.param(3000, 2000, 1, 130, True, marks=pytest.mark.exhaustive),
        pytest.param(4000, 1500, 8, 5, False, marks=pytest.mark.exhaustive),
    ],
)
def test_kernel_is_the_reference(
    codes: int, items: int, batch: int, beams: int, last: bool
) -> None:
    level = level_of(codes, items, last=last)
    lines, cells, layout, *_ = level
    own = partial(lines_level, layout=layout, level=1, beams=beams)
    kernel = jax.jit(
        partial(own, implementation="pallas_tpu", interpret=True), compiler_options=QUICK
    )
    for seed in range(4):
        arrays = (*drawn(level, seed, batch, beams, shared=seed == 3), lines, cells)
        (records, *others), (reference, *expected) = kernel(*arrays), own(*arrays)
        pairs = [(records[..., : NODE + 1], reference[..., : NODE + 1])]
        for found, wanted in [*pairs, *zip(others, expected, strict=True)]:
            np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


def test_what_does_not_fit_is_refused() -> None:
    level = level_of(5000, 3000, last=True)
    lines, cells, layout, *_ = level
    logits, state, limit = drawn(level, 0, 2, 9, shared=False)
    own = partial(lines_level, layout=layout, level=1, beams=9)
    with pytest.raises(KernelError, match="logits: found 40 codes, expected 5000 or more"):
        own(logits[..., :40], state, limit, lines, cells)
    with pytest.raises(KernelError, match="state: found"):
        own(logits, state[:, :8], limit, lines, cells)
    with pytest.raises(KernelError, match="level: found 24, which the records have no room for"):
        own(logits, state, limit, lines, cells, level=24)
    many = jnp.zeros((1, 9, 20_000))
    wide = LinesLayout(num_codes=20_000, wide=0, numbered=False)
    with pytest.raises(KernelError, match="lines_level: codes with 'pallas_tpu': found 20000"):
        own(many, state[:1], limit[:1], lines, cells, layout=wide, implementation="pallas_tpu")
