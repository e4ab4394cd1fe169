"""Rank bits against cumulative sums, and words against lists of booleans."""

import jax.numpy as jnp
import numpy as np
from genret_kernels.lines_level.reference import pick
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.index.bits import (
    cleared,
    cleared_by_product,
    low_bits,
    lowest_bit,
    pack_bits,
    rank,
    rank_by_lines,
    select,
    unpack_bits,
    window,
)
from genret.index.lines import lines_at
from genret.index.restriction import segment_any

ROWS = jnp.arange(701, dtype=jnp.int32)


@settings(max_examples=20)
@given(st.integers(0, 700), st.sampled_from([0.0, 0.1, 0.9, 1.0]), st.integers(0, 99))
def test_rank_and_window(size: int, share: float, seed: int) -> None:
    bits = np.random.default_rng(seed).random(size) < share
    blocks = pack_bits(bits, 700)
    assert unpack_bits(blocks, size).tolist() == bits.tolist()
    padded = np.concatenate([bits, np.zeros(733 - size, bool)])
    before = [0, *np.cumsum(padded[:700])]
    np.testing.assert_array_equal(rank(jnp.asarray(blocks), ROWS), before)
    np.testing.assert_array_equal(rank_by_lines(jnp.asarray(blocks), ROWS), before)
    np.testing.assert_array_equal(pick(*lines_at(jnp.asarray(blocks), ROWS[: blocks.size])), blocks)
    powers = 1 << np.arange(32, dtype=np.int64)
    expected = np.lib.stride_tricks.sliding_window_view(padded, 32)[:701] @ powers
    np.testing.assert_array_equal(window(jnp.asarray(blocks), ROWS), expected)
    # A stack of sets, one asked by each row of the question.
    stack = jnp.stack([jnp.asarray(blocks), jnp.zeros_like(blocks)])
    for count in (rank, rank_by_lines):
        both = count(stack, jnp.stack([ROWS, ROWS]), jnp.array([[1], [0]]))
        np.testing.assert_array_equal(both, [[0] * 701, before])


@settings(max_examples=20)
@given(st.integers(0, 40), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 99))
def test_bits_are_cleared_by_scatter_and_by_product(count: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 1 << 32, (2, 3, 5), np.uint32)
    beam, word, bit = np.zeros((3, 2, 40), np.int64)
    bits, expected = np.zeros((2, 40), np.uint32), words.copy()
    for request in range(2):  # each bit that is set is asked for once, and some that ask for none
        held = np.argwhere(np.unpackbits(words[request].view(np.uint8), bitorder="little"))[:, 0]
        own = rng.permutation(held)[:count]
        beam[request, : own.size], rest = np.divmod(own, 5 * 32)
        word[request, : own.size], bit[request, : own.size] = np.divmod(rest, 32)
        asked = rng.random(own.size) < share
        bits[request, : own.size] = np.where(asked, 1 << bit[request, : own.size], 0)
        for b, w, one in zip(beam[request], word[request], bits[request], strict=True):
            expected[request, b, w] &= ~one
    arguments = [
        jnp.asarray(x) for x in (words, beam.astype(np.int32), word.astype(np.int32), bits)
    ]
    np.testing.assert_array_equal(cleared(*arguments), expected)
    np.testing.assert_array_equal(cleared_by_product(*arguments), expected)


@settings(max_examples=20)
@given(st.integers(0, 1400), st.sampled_from([0.0, 0.01, 0.5, 1.0]), st.integers(0, 99))
def test_select_is_the_inverse_of_rank(size: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = rng.random(size) < share
    blocks = jnp.asarray(pack_bits(bits, 1400))
    rows = np.flatnonzero(bits)
    # Between any two rows: the bits in between, and the one after them, which is not there.
    lo, hi = np.sort(rng.integers(0, size + 1, (2, 300)), axis=0)
    first, end = (np.searchsorted(rows, x) for x in (lo, hi))
    nth = rng.integers(first, end + 1)
    expected = np.where(nth < end, np.append(rows, 0)[np.minimum(nth, rows.size)], hi)
    narrow = hi - lo <= 300
    for most_rows, asked in ((1400, np.ones(300, bool)), (300, narrow)):
        found = select(blocks, *(jnp.asarray(x, jnp.int32) for x in (nth, lo, hi)), most_rows)
        np.testing.assert_array_equal(np.asarray(found)[asked], expected[asked])


WORDS = st.lists(st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 2**31, 2**32 - 1]), max_size=20)


@given(WORDS)
def test_lowest_bit(words: list[int]) -> None:
    words += [0] * (20 - len(words))  # one shape: one program
    expected = [(w & -w).bit_length() - 1 if w else 32 for w in words]
    assert lowest_bit(jnp.array(words, jnp.uint32)).tolist() == expected


def test_low_bits() -> None:
    counts = jnp.arange(-40, 72, dtype=jnp.int32)
    expected = [(1 << min(32, max(0, c))) - 1 for c in counts.tolist()]
    assert low_bits(counts).tolist() == expected


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1) | st.sampled_from([1, 2**31]))
def test_runs_with_an_allowed_row(starts: int, allowed: int) -> None:
    starts |= 1  # the first row of a node starts a run
    expected, run = 0, 0
    for row in range(32):
        run = row if starts >> row & 1 else run
        if allowed >> row & 1:
            expected |= 1 << run
    found = segment_any(jnp.uint32(starts), jnp.uint32(allowed))
    assert int(found) == expected
