"""Counting in rows that are in order, as NumPy does it; and nothing else does it in a program."""

from pathlib import Path

import hypothesis.extra.numpy as hnp
import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import genret
from genret.index.nodes import count_before, count_by_comparison, take_beams, taken_by_comparison

INT32 = np.iinfo(np.int32)
VALUES = st.one_of(st.integers(-3, 6), st.sampled_from([INT32.min, INT32.max]))


@given(
    ascending=hnp.arrays(np.int32, st.tuples(st.just(3), st.sampled_from([0, 1, 2, 7, 64])), elements=VALUES),
    asked=hnp.arrays(np.int32, st.sampled_from([(1, 5), (3, 5)]), elements=VALUES),
    equal=st.booleans(),
)  # fmt: skip
def test_counts_are_those_of_numpy(ascending: np.ndarray, asked: np.ndarray, equal: bool) -> None:
    ascending = np.sort(ascending, axis=1)
    side = "right" if equal else "left"
    whole = np.broadcast_to(asked, (3, 5))
    expected = [np.searchsorted(own, x, side) for own, x in zip(ascending, whole, strict=True)]
    for count, values in ((count_before, asked), (count_by_comparison, whole)):
        found = jax.jit(count, static_argnames="equal")(ascending, values, equal=equal)
        np.testing.assert_array_equal(found, expected)


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_subnormal=False), min_size=7, max_size=7),
    st.integers(0, 99),
)
def test_beams_are_taken_by_gather_and_by_comparison(scores: list[float], seed: int) -> None:
    beams = np.random.default_rng(seed).integers(0, 7, (2, 5)).astype(np.int32)
    values = np.stack([scores, scores[::-1]]).astype(np.float32)
    expected = np.take_along_axis(values, beams, axis=1)
    for take in (take_beams, taken_by_comparison):
        found = jax.jit(take)(values, beams)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.float32


def test_no_program_unrolls_a_search_with_two_bounds() -> None:
    """Such a search does not compile in reasonable time (see ``_sorted.py``)."""
    package = Path(genret.__file__).parent
    for file in [*package.rglob("*.py"), *(package.parent / "kernels").rglob("*.py")]:
        assert "scan_unrolled" not in file.read_text(encoding="utf-8"), file
