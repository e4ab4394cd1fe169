"""Attention over two parts against one softmax over their concatenation, per beam."""

from functools import partial
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels.shared_prefix_attention import shared_prefix_attention
from genret_kernels.shared_prefix_attention.reference import along_paths, under_masks

Sizes = dict[str, int]
run = jax.jit(shared_prefix_attention, static_argnames=("implementation", "interpret"))


def draw(seed: int, sizes: Sizes, lengths: list[int], dtype: Any) -> tuple[jax.Array, ...]:
    """Return arguments whose padding is NaN; paths cross each other, and some positions are nobody's."""
    rng = np.random.default_rng(seed)
    shapes = ("BMTHD", "BSKD", "BSKD", "BEKD", "BEKD", "BMTKD", "BMTKD")
    arrays = [rng.normal(size=[sizes[x] for x in letters]) for letters in shapes]
    arrays[0] *= 3  # softmaxes that are not flat
    for history in arrays[1:3]:
        for b, length in enumerate(lengths):
            history[b, length:] = np.nan
    queries, *parts = (jnp.asarray(x, dtype) for x in arrays)
    orders = rng.random((sizes["B"], sizes["M"], sizes["E"])).argsort(axis=2)
    paths = jnp.asarray(orders[:, :, : sizes["P"]], jnp.int32)
    lengths = jnp.asarray(lengths, jnp.int32)
    return queries, *parts[:2], lengths, *parts[2:4], paths, *parts[4:]


def finite(args: Any) -> list[Any]:
    """Return the arguments with other padding: the kernels do not read it, XLA multiplies it by 0."""
    return [jnp.nan_to_num(x, nan=7.0) for x in args]


def slow(*args: Any) -> np.ndarray:
    queries, shared_keys, shared_values, lengths, *own = (np.asarray(x, np.float64) for x in args)
    earlier_keys, earlier_values, paths, keys, values = own
    batch, beams, length, heads, width = queries.shape
    groups = heads // keys.shape[3]
    mixed = np.zeros(queries.shape)
    for b, m, t, h in np.ndindex(batch, beams, length, heads):
        k, past, path = h // groups, int(lengths[b]), paths[b, m].astype(int)
        all_keys, all_values = (
            np.concatenate([shared[b, :past, k], earlier[b, path, k], new[b, m, : t + 1, k]])
            for shared, earlier, new in (
                (shared_keys, earlier_keys, keys),
                (shared_values, earlier_values, values),
            )
        )
        scores = all_keys @ queries[b, m, t, h] / np.sqrt(width)
        weights = np.exp(scores - scores.max())
        mixed[b, m, t, h] = weights @ all_values / weights.sum()
    return mixed


# One of everything; no history; a request without one; several positions that see each other only
# backwards, and grouped heads; more keys and rows than a block has, ends inside and at a block's.
CASES = [
    ({"B": 1, "M": 1, "T": 1, "H": 1, "K": 1, "D": 16, "S": 1, "E": 0, "P": 0}, [1]),
    ({"B": 1, "M": 2, "T": 1, "H": 2, "K": 1, "D": 16, "S": 0, "E": 2, "P": 1}, [0]),
    ({"B": 2, "M": 3, "T": 1, "H": 4, "K": 2, "D": 16, "S": 7, "E": 5, "P": 1}, [7, 0]),
    ({"B": 3, "M": 5, "T": 3, "H": 6, "K": 2, "D": 32, "S": 70, "E": 3, "P": 2}, [64, 65, 1]),
    ({"B": 2, "M": 1, "T": 1, "H": 1, "K": 1, "D": 64, "S": 1030, "E": 0, "P": 0}, [512, 1030]),
    ({"B": 1, "M": 130, "T": 2, "H": 4, "K": 2, "D": 16, "S": 20, "E": 130, "P": 1}, [13]),
]
KERNELS = ["pallas_tpu", "pallas_gpu"]


@pytest.mark.parametrize(("sizes", "lengths"), CASES)
def test_equals_one_softmax(sizes: Sizes, lengths: list[int]) -> None:
    args = draw(0, sizes, lengths, jnp.float32)
    np.testing.assert_allclose(run(*finite(args)), slow(*args), rtol=2e-5, atol=2e-5)


SMALL = {"B": 2, "M": 3, "T": 1, "H": 4, "K": 2, "D": 16, "S": 5, "E": 6, "P": 3}
both_ways = jax.jit(lambda *args: (under_masks(*args), along_paths(*args)))


@hypothesis.given(
    lengths=st.lists(st.integers(0, SMALL["S"]), min_size=2, max_size=2),
    scale=st.sampled_from([1, 1000]),
    seed=st.integers(0, 2**16),
)
def test_masked_positions_equal_gathered_ones(lengths: list[int], scale: int, seed: int) -> None:
    """What a TPU computes at a step, and what the others do; also scores of thousands."""
    args = draw(seed, SMALL, lengths, jnp.float32)
    args = (scale * args[0], *args[1:])
    masked, gathered = both_ways(*finite(args))
    np.testing.assert_allclose(masked, gathered, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(masked, slow(*args), rtol=2e-3, atol=2e-3 if scale > 1 else 2e-5)


@pytest.mark.parametrize(("sizes", "lengths"), CASES)
@pytest.mark.parametrize("name", KERNELS)
def test_kernel_equals_the_op(sizes: Sizes, lengths: list[int], name: str) -> None:
    args = draw(1, sizes, lengths, jnp.float32)
    expected = run(*finite(args))
    found = run(*args, implementation=name, interpret=True)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def check_memory(sizes: Sizes, lengths: list[int], interpret: Any) -> None:
    args = draw(1, sizes, lengths, jnp.bfloat16)
    found = run(*args, implementation="pallas_tpu", interpret=interpret)
    assert found.dtype == jnp.bfloat16
    expected = run(*finite(args)).astype(jnp.float32)
    np.testing.assert_allclose(found.astype(jnp.float32), expected, rtol=2e-2, atol=2e-2)


def test_kernel_stays_inside_its_memory(tpu_memory: Any) -> None:
    check_memory(*CASES[3], tpu_memory)


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "lengths"), CASES)
def test_kernel_stays_inside_its_memory_in_every_case(
    sizes: Sizes, lengths: list[int], tpu_memory: Any
) -> None:
    check_memory(sizes, lengths, tpu_memory)


@pytest.mark.parametrize("name", [None, *KERNELS])
def test_bfloat16_is_added_up_in_float32(name: str | None) -> None:
    """With 4,000 keys of equal weight a sum in bfloat16 would stop growing."""
    sizes = {"B": 1, "M": 2, "T": 1, "H": 1, "K": 1, "D": 16, "S": 4000, "E": 0, "P": 0}
    args = [jnp.ones_like(x) for x in draw(0, sizes, [4000], jnp.bfloat16)]
    args[3] = jnp.array([4000], jnp.int32)
    mixed = run(*args, implementation=name, interpret=True)
    np.testing.assert_allclose(mixed.astype(jnp.float32), 1, rtol=1e-2)


@pytest.mark.parametrize("name", [None, *KERNELS])
def test_huge_scores(name: str | None) -> None:
    """Scores of thousands of either sign, in each part: no overflow and the right winner."""
    sizes = {"B": 1, "M": 4, "T": 2, "H": 2, "K": 1, "D": 16, "S": 90, "E": 7, "P": 2}
    args = list(draw(5, sizes, [80], jnp.float32))
    args[0] *= 1000
    args = finite(args) if name is None else args
    mixed = run(*args, implementation=name, interpret=True)
    np.testing.assert_allclose(mixed, slow(*args), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", [None, *KERNELS])
def test_a_beam_that_is_no_beam_disturbs_no_other(name: str | None) -> None:
    args = finite(draw(6, CASES[2][0], CASES[2][1], jnp.float32))
    own = partial(run, implementation=name, interpret=True)
    expected = own(*args)
    args[0] = args[0].at[:, 1].set(jnp.nan)
    found = own(*args)
    np.testing.assert_array_equal(found[:, ::2], expected[:, ::2])


@pytest.mark.parametrize("name", [None, *KERNELS])
def test_history_is_not_repeated(name: str | None, computed: Any) -> None:
    """Nothing that is computed has the beams, the history's positions and the heads' width."""
    sizes = {"B": 2, "M": 11, "T": 1, "H": 2, "K": 1, "D": 32, "S": 1013, "E": 22, "P": 2}
    args = draw(0, sizes, [5, 9], jnp.bfloat16)
    own = partial(shared_prefix_attention, implementation=name, interpret=True)
    largest = max(np.prod(x.shape) for x in computed(own, *args) if hasattr(x, "shape"))
    repeated = sizes["B"] * sizes["M"] * sizes["S"] * sizes["D"]
    assert 0 < largest < repeated
