"""Attention over two parts against one softmax over their concatenation, per beam."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels.shared_prefix_attention import shared_prefix_attention

Sizes = dict[str, int]
run = jax.jit(shared_prefix_attention, static_argnames=("implementation", "interpret"))


def draw(seed: int, sizes: Sizes, lengths: list[int], dtype: Any) -> tuple[jax.Array, ...]:
    """Return arguments whose padding is NaN."""
    rng = np.random.default_rng(seed)
    shapes = ("BMTHD", "BSKD", "BSKD", "BMPKD", "BMPKD")
    arrays = [rng.normal(size=[sizes[x] for x in letters]) for letters in shapes]
    arrays[0] *= 3  # softmaxes that are not flat
    for history in arrays[1:3]:
        for b, length in enumerate(lengths):
            history[b, length:] = np.nan
    queries, *parts = (jnp.asarray(x, dtype) for x in arrays)
    return queries, *parts[:2], jnp.asarray(lengths, jnp.int32), *parts[2:]


def finite(args: Any) -> list[Any]:
    """Return the arguments with other padding: the kernels do not read it, XLA multiplies it by 0."""
    return [jnp.nan_to_num(x, nan=7.0) for x in args]


def slow(
    queries: Any, shared_keys: Any, shared_values: Any, lengths: Any, keys: Any, values: Any
) -> np.ndarray:
    arrays = (queries, shared_keys, shared_values, keys, values)
    queries, shared_keys, shared_values, keys, values = (np.asarray(x, np.float64) for x in arrays)
    batch, beams, length, heads, width = queries.shape
    groups, suffix = heads // keys.shape[3], keys.shape[2]
    mixed = np.zeros(queries.shape)
    for b, m, t, h in np.ndindex(batch, beams, length, heads):
        seen, k = suffix - length + t + 1, h // groups
        own_keys, own_values = keys[b, m, :seen, k], values[b, m, :seen, k]
        both_keys = np.concatenate([shared_keys[b, : lengths[b], k], own_keys])
        both_values = np.concatenate([shared_values[b, : lengths[b], k], own_values])
        scores = both_keys @ queries[b, m, t, h] / np.sqrt(width)
        weights = np.exp(scores - scores.max())
        mixed[b, m, t, h] = weights @ both_values / weights.sum()
    return mixed


# One of everything; no history; a request without one; several positions that see each other only
# backwards, and grouped heads; more keys and rows than a block has, ends inside and at a block's.
CASES = [
    ({"B": 1, "M": 1, "T": 1, "H": 1, "K": 1, "D": 16, "S": 1, "P": 1}, [1]),
    ({"B": 1, "M": 2, "T": 1, "H": 2, "K": 1, "D": 16, "S": 0, "P": 1}, [0]),
    ({"B": 2, "M": 3, "T": 1, "H": 4, "K": 2, "D": 16, "S": 7, "P": 2}, [7, 0]),
    ({"B": 3, "M": 5, "T": 3, "H": 6, "K": 2, "D": 32, "S": 70, "P": 4}, [64, 65, 1]),
    ({"B": 2, "M": 1, "T": 1, "H": 1, "K": 1, "D": 64, "S": 1030, "P": 1}, [512, 1030]),
    ({"B": 1, "M": 130, "T": 2, "H": 4, "K": 2, "D": 16, "S": 20, "P": 2}, [13]),
]
KERNELS = ["pallas_tpu", "pallas_gpu"]


@pytest.mark.parametrize(("sizes", "lengths"), CASES)
def test_equals_one_softmax(sizes: Sizes, lengths: list[int]) -> None:
    args = draw(0, sizes, lengths, jnp.float32)
    np.testing.assert_allclose(run(*finite(args)), slow(*args), rtol=2e-5, atol=2e-5)


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
    sizes = {"B": 1, "M": 2, "T": 1, "H": 1, "K": 1, "D": 16, "S": 4000, "P": 1}
    args = [jnp.ones_like(x) for x in draw(0, sizes, [4000], jnp.bfloat16)]
    args[3] = jnp.array([4000])
    mixed = run(*args, implementation=name, interpret=True)
    np.testing.assert_allclose(mixed.astype(jnp.float32), 1, rtol=1e-2)


@pytest.mark.parametrize("name", [None, *KERNELS])
def test_huge_scores(name: str | None) -> None:
    """Scores of thousands of either sign, in each part: no overflow and the right winner."""
    sizes = {"B": 1, "M": 4, "T": 2, "H": 2, "K": 1, "D": 16, "S": 90, "P": 3}
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
    sizes = {"B": 2, "M": 11, "T": 1, "H": 2, "K": 1, "D": 32, "S": 1013, "P": 3}
    args = draw(0, sizes, [5, 9], jnp.bfloat16)
    own = partial(shared_prefix_attention, implementation=name, interpret=True)
    largest = max(np.prod(x.shape) for x in computed(own, *args) if hasattr(x, "shape"))
    repeated = sizes["B"] * sizes["M"] * sizes["S"] * sizes["D"]
    assert 0 < largest < repeated
