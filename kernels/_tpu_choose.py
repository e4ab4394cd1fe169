"""Choosing the best of all codes of all beams inside a TPU kernel: the maxima of groups say where they are.

The K best codes lie in the K groups whose own best codes come first: each of these has one that is
no worse than any code of another group. Groups are 128 neighboring codes of a beam, so of groups with
equal maxima the earlier one holds the earlier code, and ties come out right.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from ._dispatch import check_fits
from ._tpu import LANES
from ._tpu_logits import Logits
from ._tpu_select import (
    LOWEST,
    SUBLANES,
    compact,
    compact_rows,
    in_order,
    iota,
    positions,
    product,
    ranked,
    round_up,
    sortable,
    thresholds,
    to_row,
    turned,
)

MOST_BEAMS = 512
MOST_CODES = LANES * LANES
"""Codes of a beam at most: each group of 128 has one lane for its maximum."""

MOST_LOGITS = 40 << 20
"""Bytes that the logits of a grid step and of the next, their scores and the beams' lines may take."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizes:
    """The static facts of a choice.

    Attributes:
      held: M, beams.
      num_codes: V.
      beams: K, how many to choose.
      together: requests of a grid step, which hide each other's waits.
      logits_rows: beams that the logits are of, filled up to whole registers; 1: they share them.
      step_bytes: of the logits of a step and the next, their scores, and the lines of its beams.
    """

    held: int
    num_codes: int
    beams: int
    together: int
    logits_rows: int
    step_bytes: int

    @classmethod
    def of(cls, op: str, logits: jax.Array, held: int, beams: int, lines: int = 0) -> "Sizes":
        """Return the facts of an op.

        Args:
          op: its name.
          logits: [B, M or 1, V].
          held: M.
          beams: K.
          lines: further lines of 128 words that it keeps for each beam.

        Raises:
          KernelError: the chip's memory has no room.
        """
        batch, rows, num_codes = logits.shape
        check_fits(op, "beams with 'pallas_tpu'", max(held, beams), MOST_BEAMS)
        check_fits(op, "codes with 'pallas_tpu'", num_codes, MOST_CODES)
        records, codes = round_up(held, SUBLANES), round_up(num_codes, LANES)
        rows = records if rows > 1 else 1
        size = 2 * rows * codes * logits.dtype.itemsize + records * (codes + lines * LANES) * 4
        check_fits(op, "bytes of logits with 'pallas_tpu'", size, MOST_LOGITS)
        fits = lambda n: batch % n == 0 and n * size <= MOST_LOGITS  # noqa: E731
        together = next(n for n in (8, 4, 2, 1) if n == 1 or fits(n))
        return cls(
            held=held,
            num_codes=num_codes,
            beams=beams,
            together=together,
            logits_rows=rows,
            step_bytes=together * size,
        )

    @property
    def records(self) -> int:
        """R: beams, filled up to whole registers."""
        return round_up(self.held, SUBLANES)

    @property
    def codes(self) -> int:
        """Codes, filled up to whole registers."""
        return round_up(self.num_codes, LANES)

    @property
    def groups(self) -> int:
        """Groups of a beam."""
        return self.codes // LANES

    @property
    def chosen(self) -> int:
        """Groups to choose."""
        return min(self.beams, self.held * self.groups)

    @property
    def size(self) -> int:
        """Codes to choose, at most."""
        return min(self.beams, self.chosen * LANES)

    @property
    def word_lanes(self) -> int:
        """Lanes of the bits of a beam's codes, with their copies."""
        return round_up(self.codes // 32, LANES)

    @property
    def copies(self) -> int:
        """How often the words of a beam fill a register, at most once for each byte of a word."""
        return min(4, max(1, LANES // pl.next_power_of_2(self.codes // 32)))

    @property
    def lanes(self) -> int:
        """Lanes of a row of what is chosen."""
        return round_up(max(self.beams, self.records), LANES)

    @property
    def vmem_bytes(self) -> int:
        """What a kernel asks for."""
        return self.step_bytes + (16 << 20)

    def scratch(self) -> list[Any]:
        """Return the memory that :func:`best_codes` works in."""
        requests, slots = self.together, round_up(self.chosen, SUBLANES)
        of_groups = (requests, round_up(self.groups, SUBLANES), round_up(self.records, LANES))
        of_codes = (requests, slots, LANES)
        numbers = (requests, SUBLANES, self.lanes)
        return [
            pltpu.VMEM((requests, self.groups * self.records, LANES), jnp.float32),
            *(pltpu.VMEM(of_groups, x) for x in (jnp.float32, jnp.int32, jnp.float32)),
            pltpu.VMEM(numbers, jnp.int32),
            pltpu.SMEM(numbers, jnp.int32),
            *(pltpu.VMEM(of_codes, x) for x in (jnp.float32, jnp.int32, jnp.float32)),
            pltpu.SemaphoreType.DMA,
        ]


class Scratch:
    """The memory of :meth:`Sizes.scratch`, by name.

    Attributes:
      scores: float32 [n, G R, 128]: of all codes, group by group.
      maxima: float32 [n, G, R]: of the groups; with ``maxima_keys`` and ``maxima_places``.
      numbers: int32 [n, 8, K]: the rows of ``scores`` that the chosen groups are.
      scalars: the same in SMEM.
      candidates: float32 [n, K, 128]: the scores of the chosen groups; with ``keys`` and ``places``.
      copied: the semaphore of the copy to SMEM.
    """

    def __init__(self, refs: Sequence[Any]) -> None:
        self.scores, self.maxima, self.maxima_keys, self.maxima_places, self.numbers = refs[:5]
        self.scalars, self.candidates, self.keys, self.places, self.copied = refs[5:]

    def numbers_to_scalars(self) -> None:
        """Copy ``numbers`` to where addresses are read."""
        # Not `sync_copy`: jax 0.12 asks it for a TPU that a host which only compiles does not have.
        copy = pltpu.make_async_copy(self.numbers, self.scalars, self.copied)
        copy.start()
        copy.wait()


def best_codes(
    logits: Sequence[Logits],
    normalizers: Sequence[jax.Array],
    words: Any,
    base: Sequence[jax.Array],
    scratch: Scratch,
    sizes: Sizes,
    listed: Sequence[tuple[jax.Array, jax.Array]] | None = None,
) -> list[tuple[jax.Array, jax.Array, jax.Array]]:
    """Return the best codes of all beams of some requests.

    Args:
      logits: of each request.
      normalizers: float32 [R, 1] of each request.
      words: a reference to int32 [n, R, word_lanes]: the bits of the codes that may be chosen, each
        word ``copies`` times.
      base: float32 [R, 1] of each request, scores of the beams.
      scratch: memory.
      sizes: the static facts.
      listed: of each request, which beams have their candidates in a list, bool [R, 128], and the
        logits of these, float32 [R, 128], in the order of their codes, -inf: no candidate. In place of
        a code the number in the list is returned. None: none.

    Returns:
      For each request, [S, 1] each, best first: float32 the score, -inf for padding; int32 the beam and
      the code, 0 for padding. S is ``sizes.size`` filled up to whole registers.
    """
    requests, records, groups = range(len(logits)), sizes.records, sizes.groups
    slots = scratch.candidates.shape[1]
    bits = (groups - 1).bit_length()  # of the number of a group of a beam
    everything = sizes.chosen == sizes.held * groups
    scores, candidates = scratch.scores, scratch.candidates
    _spread(words, scores, groups, sizes.copies)
    largest = []
    for q in requests:
        few = None if listed is None else listed[q]
        normalizer, start = normalizers[q], base[q]
        largest.append(
            _score_all(logits[q], normalizer, start, scores.at[q], sizes.held, not everything, few)
        )
    if everything:
        which = [_numbers(slots, sizes.held, groups, bits)] * len(logits)
        for q in requests:
            for each in range(sizes.chosen):
                beam, group = divmod(each, groups)
                row = group * records + beam
                candidates[q, each : each + 1] = scores[q, row : row + 1]
    else:
        for q in requests:
            scratch.maxima[q] = turned(largest[q], *scratch.maxima.shape[1:])
        which = _best_groups(scratch, sizes, slots, bits)
        for q in requests:
            number = (which[q] & ((1 << bits) - 1)) * records + (which[q] >> bits)
            numbers = widened(to_row(number), sizes.lanes)
            scratch.numbers[q] = jnp.broadcast_to(numbers, (SUBLANES, sizes.lanes))
        scratch.numbers_to_scalars()
        _gather(scratch.scalars, scores, candidates)

    size, keys, places = sizes.size, scratch.keys, scratch.places
    inside = iota((slots, LANES), 0) < sizes.chosen
    for q in requests:
        candidates[q] = jnp.where(inside, candidates[q], -jnp.inf)
        keys[q] = jnp.where(inside, sortable(candidates[q]), LOWEST)
    found = thresholds([keys.at[q] for q in requests], slots, size)
    for q in requests:
        places[q] = positions(keys[q], found[q], size, by_column=False)
    best = []
    for q in requests:
        score, number = compact_rows(candidates[q], places[q], round_up(size, SUBLANES))
        best.append(_ordered(score, number.astype(jnp.int32), which[q], bits, size))
    return best


def _numbers(slots: int, held: int, groups: int, bits: int) -> jax.Array:
    """Return the numbers of all groups in their order, int32 [slots, 1]."""
    slot = iota((slots, 1), 0)
    if groups == 1:
        return slot
    beam = jnp.zeros_like(slot)
    for each in range(1, held):
        beam += jnp.where(slot >= each * groups, 1, 0)
    return (beam << bits) + slot - beam * groups


def _best_groups(scratch: Scratch, sizes: Sizes, slots: int, bits: int) -> list[jax.Array]:
    """Return the numbers of the groups with the largest maxima, int32 [slots, 1] a request."""
    maxima, keys, places = scratch.maxima, scratch.maxima_keys, scratch.maxima_places
    requests, groups, lane = range(maxima.shape[0]), sizes.groups, iota((1, LANES), 1)
    inside = iota(maxima.shape[1:], 0) < groups
    inside &= iota(maxima.shape[1:], 1) < sizes.held
    for q in requests:
        keys[q] = jnp.where(inside, sortable(maxima[q]), LOWEST)
    found = thresholds([keys.at[q] for q in requests], groups, sizes.chosen)
    for q in requests:
        places[q] = positions(keys[q], found[q], sizes.chosen, by_column=True)
    pairs = compact(
        [maxima.at[q] for q in requests],
        lambda row, start: (((lane + start) << bits) + row).astype(jnp.float32),
        [places.at[q] for q in requests],
        groups,
        slots,
    )
    return [number.astype(jnp.int32) for _, number in pairs]


def _spread(words: Any, scores: Any, groups: int, copies: int) -> None:
    """Store beside each code, where its score will be, the byte that its bit is in, as float32.

    A look-up of 128 lanes takes as long as nine sums. A product with a matrix that says which byte each
    code asks for takes less, and all requests share the matrix.
    """
    requests, records, word_lanes = words.shape
    period = LANES // copies  # lanes of the words; the copies behind them give their other bytes
    turn = period.bit_length() - 1
    lane = iota((records, LANES), 1)
    size = (4 // copies * LANES, LANES)
    row, code = iota(size, 0), iota(size, 1)
    byte = (row >> 7) * copies + ((row & (LANES - 1)) >> turn)
    word = (row & (period - 1)) - (code >> 5)
    asked = jnp.where(byte == (code >> 3 & 3), word, -LANES)
    for block in range(0, word_lanes, LANES):
        planes = []
        for q in range(requests):
            own = words[q, :, block : block + LANES]
            shifts = [8 * (first + (lane >> turn)) for first in range(0, 4, copies)]
            planes.append(jnp.concatenate([own >> shift & 255 for shift in shifts], axis=1))
        stacked = jnp.concatenate(planes, axis=0).astype(jnp.float32)
        for number in range(block // 4, min(groups, (block + LANES) // 4)):
            found = product(stacked, jnp.where(asked == number * 4 - block, 1.0, 0.0))
            for q in range(requests):
                span = slice(number * records, (number + 1) * records)
                scores[q, span] = found[q * records : (q + 1) * records]


def _score_all(
    logits: Logits,
    normalizer: jax.Array,
    base: jax.Array,
    scores: Any,
    held: int,
    wants_maxima: bool,
    listed: tuple[jax.Array, jax.Array] | None,
) -> jax.Array:
    """Store the scores of all codes; return the largest of group g of each beam at lane g, if asked.

    ``scores`` holds what :func:`_spread` stores. What is listed takes the place of the first group.
    """
    shape = (logits.rows, LANES)
    lane = iota(shape, 1)
    real = iota(shape, 0) < held
    normalizer = jnp.broadcast_to(normalizer, shape)
    start = jnp.broadcast_to(base, shape)
    largest = jnp.full(shape, -jnp.inf)
    for number in range(logits.groups):
        span = slice(number * logits.rows, (number + 1) * logits.rows)
        legal = scores[span].astype(jnp.int32) >> (lane & 7) & 1 == 1
        own = logits.group(number)
        if listed is not None and number == 0:
            legal, own = legal | listed[0], jnp.where(*listed, own)
        score = start + (own - normalizer)
        score = jnp.where(legal & real & (score > -jnp.inf), score, -jnp.inf)
        scores[span] = score
        if not wants_maxima:
            continue
        most = jnp.broadcast_to(jnp.max(score, axis=1, keepdims=True), shape)
        largest = jnp.where(lane == number, most, largest)
    return largest


def _gather(numbers: Any, scores: Any, candidates: Any) -> None:
    """Copy the scores of the chosen groups, a row of a register each."""

    def copy(slot: Any, _: Any) -> Any:
        for q in range(scores.shape[0]):
            candidates[q, pl.ds(slot, 1), :] = scores[q, pl.ds(numbers[q, 0, slot], 1), :]
        return 0

    jax.lax.fori_loop(0, candidates.shape[1], copy, 0, unroll=SUBLANES)


def _ordered(
    best: jax.Array, which: jax.Array, numbers: jax.Array, bits: int, size: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Put the best codes in their order; ``numbers``: of the groups that ``which`` counts in."""
    slots = best.shape[0]
    order = ranked(best, size)
    score = in_order(order, best)
    real = (score > -jnp.inf) & (iota((slots, 1), 0) < size)
    which = jnp.where(real, in_order(order, which), 0)
    shape = (slots, round_up(numbers.shape[0], LANES))
    hit = jnp.broadcast_to(which >> 7, shape) == iota(shape, 1)
    number = jnp.broadcast_to(to_row(numbers), shape)
    number = jnp.sum(jnp.where(hit, number, 0), axis=1, keepdims=True)
    code = (number & ((1 << bits) - 1)) * LANES + (which & (LANES - 1))
    return (
        jnp.where(real, score + 0.0, -jnp.inf),
        jnp.where(real, number >> bits, 0),
        jnp.where(real, code, 0),
    )


def widened(row: jax.Array, lanes: int) -> jax.Array:
    """Cut or repeat a row to some number of registers."""
    copies = -(-lanes // row.shape[1])
    return (jnp.concatenate([row] * copies, axis=1) if copies > 1 else row)[:, :lanes]
