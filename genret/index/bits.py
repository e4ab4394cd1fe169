"""Rank bits: a bit for each row that answers "how many are set before this row?" in one read.

Rows are kept in blocks of eight 32-bit words: the first holds the number of bits set in all blocks
before, the other seven hold the bits of 224 rows. One block is one read of 32 bytes, so

    rank(r) = count(block of r) + popcount(bits of the block before r).

The blocks lie end to end in one axis: TPUs pad a last axis of eight to 128. A TPU reads whole lines of
sixteen blocks, to the same answers: it gathers slices of eight words in a loop.
"""

import jax
import jax.numpy as jnp
import numpy as np
from genret_kernels.lines_level.reference import pick

from genret.index.lines import LANES, lines_at
from genret.typing import Array, Bool, Int, UInt

WORD_BITS = 32
BLOCK_WORDS = 8
BLOCK_ROWS = (BLOCK_WORDS - 1) * WORD_BITS
WAYS = 4
"""Parts into which a step of a search cuts what is left: a read of three words for two bits."""


def pack_bits(bits: Bool[np.ndarray, "N"], capacity: int) -> np.ndarray:
    """Pack bits on the host.

    Args:
      bits: bool [N], by row.
      capacity: rows to make room for, at least N; those past the last have bit 0.

    Returns:
      uint32 [8 n], the words of n = capacity // 224 + 2 blocks.

    >>> pack_bits(np.array([True, False, True]), 3)[:8].tolist()
    [0, 5, 0, 0, 0, 0, 0, 0]
    """
    num_blocks = capacity // BLOCK_ROWS + 2  # a row past the last may be asked for, and a window
    packed = np.packbits(bits, bitorder="little")
    words = np.zeros((num_blocks, BLOCK_WORDS - 1), np.uint32)
    words.reshape(-1).view(np.uint8)[: packed.size] = packed
    in_block = np.bitwise_count(words).sum(axis=1, dtype=np.uint32)
    before = (np.cumsum(in_block) - in_block).astype(np.uint32)
    return np.concatenate([before[:, None], words], axis=1).reshape(-1)


def unpack_bits(blocks: Array | np.ndarray, num_rows: int) -> Bool[np.ndarray, "N"]:
    """Undo :func:`pack_bits`, on the host."""
    words = np.ascontiguousarray(np.asarray(blocks).reshape(-1, BLOCK_WORDS)[:, 1:])
    return np.unpackbits(words.view(np.uint8), count=num_rows, bitorder="little").astype(bool)


def rank(blocks: Array, rows: Int[Array, "*shape"], *lead: Array) -> Int[Array, "*shape"]:
    """Return the number of bits set before each row.

    Args:
      blocks: uint32 [*P, 8 n], from :func:`pack_bits`.
      rows: int32, in [0, capacity].
      lead: which of the sets of bits to ask, for each axis P; broadcast with ``rows``.

    Returns:
      int32 counts.

    >>> blocks = jnp.asarray(pack_bits(np.array([True, False, True]), 3))
    >>> rank(blocks, jnp.arange(4)).tolist()
    [0, 1, 1, 2]
    """
    return jax.lax.platform_dependent(
        blocks, rows, *lead, tpu=rank_by_lines, default=_rank_by_blocks
    )


def _rank_by_blocks(blocks: Array, rows: Int[Array, "*shape"], *lead: Array) -> Array:
    block = _read(blocks, rows // BLOCK_ROWS, *lead)
    first = jnp.arange(BLOCK_WORDS - 1, dtype=jnp.int32).reshape(*[1] * rows.ndim, -1) * WORD_BITS
    mask = low_bits((rows % BLOCK_ROWS)[..., None] - first)
    counts = jax.lax.population_count(block[..., 1:] & mask).astype(jnp.int32)
    in_block = counts.sum(axis=-1, dtype=jnp.int32)
    return block[..., 0].astype(jnp.int32) + in_block


def rank_by_lines(blocks: Array, rows: Int[Array, "*shape"], *lead: Array) -> Int[Array, "*shape"]:
    """Return what :func:`rank` does, as a TPU reads it: one sum over a line of sixteen blocks."""
    line, lane = lines_at(blocks, rows // BLOCK_ROWS * BLOCK_WORDS, *lead)
    place = jnp.arange(LANES, dtype=jnp.int32).reshape(*[1] * rows.ndim, LANES)
    word = place - lane[..., None] - 1  # of the block; -1: its count
    inside = (word >= 0) & (word < BLOCK_WORDS - 1)
    mask = low_bits(jnp.where(inside, (rows % BLOCK_ROWS)[..., None] - word * WORD_BITS, 0))
    counts = jax.lax.population_count(line & mask).astype(jnp.int32)
    counts += jnp.where(word == -1, line.astype(jnp.int32), 0)
    return counts.sum(axis=-1, dtype=jnp.int32)


def select(
    blocks: Array,
    nth: Int[Array, "*shape"],
    lo: Int[Array, "*#shape"],
    hi: Int[Array, "*#shape"],
    most_rows: int,
) -> Int[Array, "*shape"]:
    """Return the row of a bit that is set, given how many are set before it: undo :func:`rank`.

    The counts of the blocks are searched, a few words a step; then one block is read.

    Args:
      blocks: uint32 [8 n], from :func:`pack_bits`.
      nth: int32, bits set before the row that is asked for.
      lo: int32, rows that are not behind it.
      hi: int32, the answer where no such row comes before.
      most_rows: the largest ``hi - lo``.

    Returns:
      int32 rows.

    >>> blocks = jnp.asarray(pack_bits(np.array([True, False, True]), 3))
    >>> select(blocks, jnp.arange(3), jnp.zeros(3, int), jnp.full(3, 3), 3).tolist()
    [0, 2, 3]
    """
    # The last block with at most `nth` bits before it: its bit is in there, or nowhere before `hi`.
    first, last = lo // BLOCK_ROWS, (hi // BLOCK_ROWS)[..., None]
    ahead = jnp.arange(1, WAYS, dtype=jnp.int32).reshape(*[1] * nth.ndim, -1)
    span = most_rows // BLOCK_ROWS + 1
    while span > 0:  # the block is one of `span` that follow the first, or the first
        stride = -(-(span + 1) // WAYS)
        pivots = first[..., None] + stride * ahead
        before = blocks.at[pivots * BLOCK_WORDS].get(mode="clip").astype(jnp.int32)
        reached = (pivots <= last) & (before <= nth[..., None])
        first = first + stride * reached.sum(axis=-1, dtype=jnp.int32)
        span = stride - 1
    block = _read(blocks, first)
    wanted = nth - block[..., 0].astype(jnp.int32)
    counts = jax.lax.population_count(block[..., 1:]).astype(jnp.int32)
    until = jnp.cumsum(counts, axis=-1, dtype=jnp.int32)
    past = until <= wanted[..., None]  # words that come before the bit's
    number = past.sum(axis=-1, dtype=jnp.int32)
    wanted -= jnp.where(past, counts, 0).sum(axis=-1, dtype=jnp.int32)
    word = jnp.take_along_axis(
        block[..., 1:], jnp.minimum(number, BLOCK_WORDS - 2)[..., None], axis=-1, mode="clip"
    )[..., 0]
    bit = jnp.zeros_like(nth)
    for width in (16, 8, 4, 2, 1):  # halve the word until the bit is left
        low = jax.lax.population_count(word & jnp.uint32((1 << width) - 1)).astype(jnp.int32)
        above = low <= wanted
        bit += jnp.where(above, width, 0)
        wanted -= jnp.where(above, low, 0)
        word = jnp.where(above, word >> width, word)
    return jnp.minimum(first * BLOCK_ROWS + number * WORD_BITS + bit, hi)


def window(blocks: Array, rows: Int[Array, "*shape"], *lead: Array) -> UInt[Array, "*shape"]:
    """Return the bits of the 32 rows that begin at each row; bit 0 is the row itself.

    Args:
      blocks: uint32 [*P, 8 n], from :func:`pack_bits`.
      rows: int32, in [0, capacity].
      lead: which of the sets of bits to ask, for each axis P; broadcast with ``rows``.

    Returns:
      uint32 words; rows past the capacity have bit 0.
    """
    block, offset = rows // BLOCK_ROWS, rows % BLOCK_ROWS
    word = offset // WORD_BITS
    first = block * BLOCK_WORDS + 1 + word
    following = first + jnp.where(word == BLOCK_WORDS - 2, 2, 1)  # over the next block's count
    shift = (offset % WORD_BITS).astype(jnp.uint32)

    def word_by_line(blocks: Array, at: Array, *lead: Array) -> Array:
        return pick(*lines_at(blocks, at, *lead))

    def word_alone(blocks: Array, at: Array, *lead: Array) -> Array:
        return blocks.at[(*lead, at)].get(mode="clip")

    low, high = (
        jax.lax.platform_dependent(blocks, at, *lead, tpu=word_by_line, default=word_alone)
        for at in (first, following)
    )
    low >>= shift
    high = high << 1 << (WORD_BITS - 1 - shift)  # twice: a shift by a whole word is not defined
    return low | high


def _read(blocks: Array, block: Int[Array, "*shape"], *lead: Array) -> UInt[Array, "*shape 8"]:
    """Return the words of blocks: a gather of slices, since one of single words is slower."""
    axes = tuple(range(len(lead) + 1))
    index = jnp.stack(jnp.broadcast_arrays(*lead, block * BLOCK_WORDS), axis=-1)
    return jax.lax.gather(
        blocks,
        index,
        jax.lax.GatherDimensionNumbers(
            offset_dims=(index.ndim - 1,), collapsed_slice_dims=axes[:-1], start_index_map=axes
        ),
        slice_sizes=(*(1 for _ in lead), BLOCK_WORDS),
        mode="clip",
    )


def low_bits(count: Int[Array, "*shape"]) -> UInt[Array, "*shape"]:
    """Return words whose lowest ``count`` bits are set, uint32; none below 0, all from 32 on."""
    shift = jnp.clip(count, 0, WORD_BITS - 1).astype(jnp.uint32)
    return jnp.where(
        count >= WORD_BITS, jnp.uint32(0xFFFFFFFF), (jnp.uint32(1) << shift) - jnp.uint32(1)
    )


def lowest_bit(words: UInt[Array, "*shape"]) -> Int[Array, "*shape"]:
    """Return the number of the lowest bit set of uint32 words, int32; 32 where none is."""
    lowest = words & (~words + jnp.uint32(1))
    return jax.lax.population_count(lowest - jnp.uint32(1)).astype(jnp.int32)


def cleared(
    words: UInt[Array, "B M W"],
    beam: Int[Array, "B X"],
    word: Int[Array, "B X"],
    bits: UInt[Array, "B X"],
) -> UInt[Array, "B M W"]:
    """Clear bits of words, all of which are set, and each of which is asked for once.

    Args:
      words: uint32.
      beam: int32, in range.
      word: int32, in range.
      bits: uint32, one bit or none of the word of the beam.

    >>> words = jnp.array([[[7, 1]]], jnp.uint32)
    >>> cleared(words, *jnp.array([[[0, 0, 0]], [[0, 1, 0]]]), jnp.array([[4, 1, 1]], jnp.uint32))
    Array([[[2, 0]]], dtype=uint32)
    """
    # Request by request: XLA then need not ask where the others' words are.
    each = jax.vmap(lambda own, beam, word, bit: own.at[beam, word].add(-bit))
    return each(words, beam, word, bits)


def cleared_by_product(
    words: UInt[Array, "B M W"],
    beam: Int[Array, "B X"],
    word: Int[Array, "B X"],
    bits: UInt[Array, "B X"],
) -> UInt[Array, "B M W"]:
    """Clear bits of words as :func:`cleared` does, by a product of matrices.

    A TPU scatters one number after the other. Here a matrix says which bit is of which beam, and
    another which is of which word. Powers of two are exact in bfloat16, which is what a TPU multiplies,
    and so are the sums of 16 different ones in float32.
    """
    of_beam = beam[..., None] == jnp.arange(words.shape[1], dtype=jnp.int32).reshape(1, 1, -1)
    of_word = word[..., None] == jnp.arange(words.shape[2], dtype=jnp.int32).reshape(1, 1, -1)
    halves = jnp.stack([bits & 0xFFFF, bits >> 16], axis=-1).astype(jnp.int32)
    spread = jnp.where(of_word[:, :, None], halves[..., None], 0)
    found = jnp.einsum("bxm,bxhw->bmhw", *(x.astype(jnp.float32) for x in (of_beam, spread)))
    low, high = (found[:, :, half].astype(jnp.int32).astype(jnp.uint32) for half in range(2))
    return words & ~(low | high << 16)
