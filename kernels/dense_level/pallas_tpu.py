"""The op on a TPU: the maxima of groups say where the best codes are.

The K best codes lie in the K groups whose own best codes come first: each of these has one that is
no worse than any code of another group. Groups are 128 neighboring codes of a beam, so of groups with
equal maxima the earlier one holds the earlier code, and ties come out right.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from .._dispatch import check_fits
from .._tpu import LANES
from .._tpu_logits import Logits
from .._tpu_select import (
    LOWEST,
    SUBLANES,
    bits_of,
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
"""Bytes that the logits of a grid step and of the next and their scores may take."""


def dense_level(
    logits: jax.Array, words: jax.Array, base: jax.Array, *, beams: int, interpret: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Choose the best codes of all beams; see :func:`genret_kernels.dense_level.api`."""
    batch, held = words.shape[:2]
    num_codes = logits.shape[-1]
    for what, found, limit in (
        ("beams", max(held, beams), MOST_BEAMS),
        ("codes", num_codes, MOST_CODES),
    ):
        check_fits("dense_level", f"{what} with 'pallas_tpu'", found, limit)
    records, codes = round_up(held, SUBLANES), round_up(num_codes, LANES)
    rows = records if logits.shape[1] > 1 else 1
    size = 2 * rows * codes * logits.dtype.itemsize + records * codes * 4
    check_fits("dense_level", "bytes of logits with 'pallas_tpu'", size, MOST_LOGITS)
    # Requests of a step hide each other's waits.
    fits = lambda n: batch % n == 0 and n * size <= MOST_LOGITS  # noqa: E731
    together = next(n for n in (8, 4, 2, 1) if n == 1 or fits(n))
    groups = codes // LANES
    chosen = min(beams, held * groups)  # groups
    slots, lanes = round_up(chosen, SUBLANES), round_up(max(beams, records), LANES)
    word_lanes, copies = round_up(codes // 32, LANES), _copies(codes // 32)
    bits = jax.lax.bitcast_convert_type(words, jnp.int32)[..., : codes // 32]
    fill = (0, word_lanes // copies - bits.shape[-1])
    bits = jnp.concatenate([jnp.pad(bits, ((0, 0), (0, records - held), fill))] * copies, axis=2)
    start = jnp.pad(base, ((0, 0), (0, records - held)), constant_values=-jnp.inf)[..., None]
    block = lambda *shape: pl.BlockSpec((together, *shape), lambda i: (i, 0, 0))  # noqa: E731
    of_groups = (together, round_up(groups, SUBLANES), round_up(records, LANES))
    of_codes = (together, slots, LANES)
    found = pl.pallas_call(
        functools.partial(_kernel, held=held, num_codes=num_codes, chosen=chosen, beams=beams),
        out_shape=jax.ShapeDtypeStruct((batch, SUBLANES, lanes), jnp.int32),
        grid=(batch // together,),
        in_specs=[block(rows, codes), block(records, word_lanes), block(records, 1)],
        out_specs=block(SUBLANES, lanes),
        scratch_shapes=[
            pltpu.VMEM((together, groups * records, LANES), jnp.float32),
            *(pltpu.VMEM(of_groups, x) for x in (jnp.float32, jnp.int32, jnp.float32)),
            pltpu.VMEM((together, SUBLANES, lanes), jnp.int32),
            pltpu.SMEM((together, SUBLANES, lanes), jnp.int32),
            *(pltpu.VMEM(of_codes, x) for x in (jnp.float32, jnp.int32, jnp.float32)),
            pltpu.SemaphoreType.DMA,
        ],
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=together * size + (16 << 20)),
        interpret=interpret,
        name="dense_level",
    )(logits, bits, start)
    scores, parents, codes_ = (found[:, row, :beams] for row in range(3))
    return jax.lax.bitcast_convert_type(scores, jnp.float32), parents, codes_


def _kernel(
    logits: Any,  # [n, M or 1, V]
    words: Any,  # int32 [n, R, W]: see :func:`_copies`
    base: Any,  # float32 [n, R, 1]
    out: Any,  # int32 [n, 8, K]: bits of the scores, beams, codes
    scores: Any,  # float32 [n, G R, 128]: of all codes, group by group
    maxima: Any,  # float32 [n, G, R]: of the groups
    maxima_keys: Any,  # int32
    maxima_places: Any,  # float32
    numbers: Any,  # int32 [n, 8, K]: the rows of ``scores`` that the chosen groups are
    scalars: Any,  # the same in SMEM
    candidates: Any,  # float32 [n, K, 128]: the scores of the chosen groups
    keys: Any,  # int32
    places: Any,  # float32
    copied: Any,  # the semaphore of the copy to SMEM
    *,
    held: int,
    num_codes: int,
    chosen: int,
    beams: int,
) -> None:
    requests, records = words.shape[:2]
    groups = scores.shape[1] // records
    slots, lanes = candidates.shape[1], out.shape[2]
    bits = (groups - 1).bit_length()  # of the number of a group of a beam
    everything = chosen == held * groups
    _spread(words, scores, groups, _copies(groups * LANES // 32))
    largest = []
    for q in range(requests):
        own = Logits(logits, q, records, num_codes)
        largest.append(_score_all(own, base[q], scores.at[q], held, not everything))
    if everything:
        which = [_numbers(slots, held, groups, bits)] * requests
        for q in range(requests):
            for each in range(chosen):
                beam, group = divmod(each, groups)
                row = group * records + beam
                candidates[q, each : each + 1] = scores[q, row : row + 1]
    else:
        for q in range(requests):
            maxima[q] = turned(largest[q], *maxima.shape[1:])
        which = _best_groups(maxima, maxima_keys, maxima_places, held, groups, chosen, slots, bits)
        for q in range(requests):
            row = (which[q] & ((1 << bits) - 1)) * records + (which[q] >> bits)
            numbers[q] = jnp.broadcast_to(_widened(to_row(row), lanes), (SUBLANES, lanes))
        # Not `sync_copy`: jax 0.12 asks it for a TPU that a host which only compiles does not have.
        copy = pltpu.make_async_copy(numbers, scalars, copied)
        copy.start()
        copy.wait()
        _gather(scalars, scores, candidates)

    size = min(beams, chosen * LANES)
    inside = iota((slots, LANES), 0) < chosen
    for q in range(requests):
        candidates[q] = jnp.where(inside, candidates[q], -jnp.inf)
        keys[q] = jnp.where(inside, sortable(candidates[q]), LOWEST)
    found = thresholds([keys.at[q] for q in range(requests)], slots, size)
    for q in range(requests):
        places[q] = positions(keys[q], found[q], size, by_column=False)
    for q in range(requests):
        best, number = compact_rows(candidates[q], places[q], round_up(size, SUBLANES))
        _write(out.at[q], best, number.astype(jnp.int32), which[q], bits, size)


def _numbers(slots: int, held: int, groups: int, bits: int) -> jax.Array:
    """Return the numbers of all groups in their order, int32 [slots, 1]."""
    slot = iota((slots, 1), 0)
    if groups == 1:
        return slot
    beam = jnp.zeros_like(slot)
    for each in range(1, held):
        beam += jnp.where(slot >= each * groups, 1, 0)
    return (beam << bits) + slot - beam * groups


def _best_groups(
    maxima: Any, keys: Any, places: Any, held: int, groups: int, chosen: int, slots: int, bits: int
) -> list[jax.Array]:
    """Return the numbers of the groups with the largest maxima, int32 [slots, 1] a request."""
    requests, lane = maxima.shape[0], iota((1, LANES), 1)
    inside = (iota(maxima.shape[1:], 0) < groups) & (iota(maxima.shape[1:], 1) < held)
    for q in range(requests):
        keys[q] = jnp.where(inside, sortable(maxima[q]), LOWEST)
    found = thresholds([keys.at[q] for q in range(requests)], groups, chosen)
    for q in range(requests):
        places[q] = positions(keys[q], found[q], chosen, by_column=True)
    pairs = compact(
        [maxima.at[q] for q in range(requests)],
        lambda row, start: (((lane + start) << bits) + row).astype(jnp.float32),
        [places.at[q] for q in range(requests)],
        groups,
        slots,
    )
    return [number.astype(jnp.int32) for _, number in pairs]


def _copies(num_words: int) -> int:
    """Return how often the words of a beam fill a register, at most once for each byte of a word."""
    return min(4, max(1, LANES // pl.next_power_of_2(num_words)))


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
    logits: Logits, base: jax.Array, scores: Any, held: int, wants_maxima: bool
) -> jax.Array:
    """Store the scores of all codes; return the largest of group g of each beam at lane g, if asked.

    ``scores`` holds what :func:`_spread` stores.
    """
    shape = (logits.rows, LANES)
    lane = iota(shape, 1)
    real = iota(shape, 0) < held
    normalizer = jnp.broadcast_to(logits.normalizer(), shape)
    start = jnp.broadcast_to(base, shape)
    largest = jnp.full(shape, -jnp.inf)
    for number in range(logits.groups):
        span = slice(number * logits.rows, (number + 1) * logits.rows)
        legal = scores[span].astype(jnp.int32) >> (lane & 7) & 1 == 1
        score = start + (logits.group(number) - normalizer)
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


def _write(
    out: Any, best: jax.Array, which: jax.Array, numbers: jax.Array, bits: int, size: int
) -> None:
    """Write the best codes in their order; ``numbers``: of the groups that ``which`` counts in."""
    slots, lanes = best.shape[0], out.shape[1]
    order = ranked(best, size)
    score = in_order(order, best)
    real = (score > -jnp.inf) & (iota((slots, 1), 0) < size)
    which = jnp.where(real, in_order(order, which), 0)
    shape = (slots, round_up(numbers.shape[0], LANES))
    hit = jnp.broadcast_to(which >> 7, shape) == iota(shape, 1)
    number = jnp.broadcast_to(to_row(numbers), shape)
    number = jnp.sum(jnp.where(hit, number, 0), axis=1, keepdims=True)
    code = (number & ((1 << bits) - 1)) * LANES + (which & (LANES - 1))
    nothing = bits_of(jnp.full((1, 1), -jnp.inf))
    columns = (
        (bits_of(jnp.where(real, score + 0.0, -jnp.inf)), nothing),
        (jnp.where(real, number >> bits, 0), jnp.zeros_like(nothing)),
        (jnp.where(real, code, 0), jnp.zeros_like(nothing)),
    )
    for row, (values, rest) in enumerate(columns):
        line = _widened(to_row(values), lanes)
        out[row : row + 1] = jnp.where(iota((1, lanes), 1) < size, line, rest)


def _widened(row: jax.Array, lanes: int) -> jax.Array:
    """Cut or repeat a row to some number of registers."""
    copies = -(-lanes // row.shape[1])
    return (jnp.concatenate([row] * copies, axis=1) if copies > 1 else row)[:, :lanes]
