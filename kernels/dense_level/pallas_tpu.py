"""The op on a TPU: the maxima of groups say where the best codes are.

The K best codes lie in the K groups whose own best codes come first: each of these has one that is
no worse than any code of another group. Groups are neighboring codes of a beam, so of groups with
equal maxima the earlier one holds the earlier code, and ties come out right.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from .._dispatch import check_fits
from .._tpu import LANES, look_up
from .._tpu_logits import Logits
from .._tpu_select import (
    LOWEST,
    SUBLANES,
    bits_of,
    compact,
    in_order,
    iota,
    positions,
    ranked,
    round_up,
    sortable,
    thresholds,
    to_row,
    turned,
)

MOST_BEAMS = 512
MOST_CODES = LANES * LANES
"""Codes at which a group fills the lanes of a register."""

MOST_LOGITS = 40 << 20
"""Bytes that the logits of a grid step and of the next and their scores may take."""


def dense_level(
    logits: jax.Array, words: jax.Array, base: jax.Array, *, beams: int, interpret: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Choose the best codes of all beams; see :func:`genret_kernels.dense_level.api`."""
    batch, held, num_words = words.shape
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
    together = 2 if batch % 2 == 0 and 2 * size <= MOST_LOGITS else 1
    groups = codes // LANES
    span = 1 << (groups - 1).bit_length()  # codes of a group
    chosen = min(beams, held * LANES)  # groups
    slots, lanes = round_up(beams, SUBLANES), round_up(beams, LANES)
    word_lanes = round_up(codes // 32, LANES)
    bits = jax.lax.bitcast_convert_type(words, jnp.int32)[..., : codes // 32]
    bits = jnp.pad(bits, ((0, 0), (0, records - held), (0, word_lanes - bits.shape[-1])))
    start = jnp.pad(base, ((0, 0), (0, records - held)), constant_values=-jnp.inf)[..., None]
    block = lambda *shape: pl.BlockSpec((together, *shape), lambda i: (i, 0, 0))  # noqa: E731
    candidates = (together, round_up(span, SUBLANES), lanes)
    found = pl.pallas_call(
        functools.partial(
            _kernel, held=held, num_codes=num_codes, span=span, chosen=chosen, beams=beams
        ),
        out_shape=jax.ShapeDtypeStruct((batch, SUBLANES, lanes), jnp.int32),
        grid=(batch // together,),
        in_specs=[block(rows, codes), block(records, word_lanes), block(records, 1)],
        out_specs=block(SUBLANES, lanes),
        scratch_shapes=[
            pltpu.VMEM((together, groups, records, LANES), jnp.float32),
            pltpu.VMEM((together, records, LANES), jnp.float32),
            pltpu.VMEM((together, records, LANES), jnp.int32),
            pltpu.VMEM((together, records, LANES), jnp.float32),
            pltpu.VMEM((together, SUBLANES, lanes), jnp.int32),
            pltpu.SMEM((together, SUBLANES, lanes), jnp.int32),
            pltpu.VMEM((together, slots, LANES), jnp.float32),
            pltpu.VMEM(candidates, jnp.float32),
            pltpu.VMEM(candidates, jnp.int32),
            pltpu.VMEM(candidates, jnp.float32),
        ],
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=MOST_LOGITS + (16 << 20)),
        interpret=interpret,
        name="dense_level",
    )(logits, bits, start)
    scores, parents, codes_ = (found[:, row, :beams] for row in range(3))
    return jax.lax.bitcast_convert_type(scores, jnp.float32), parents, codes_


def _kernel(
    logits: Any,  # [n, M or 1, V]
    words: Any,  # int32 [n, R, W]
    base: Any,  # float32 [n, R, 1]
    out: Any,  # int32 [n, 8, K]: bits of the scores, beams, codes
    scores: Any,  # float32 [n, G, R, 128]: of all codes
    maxima: Any,  # float32 [n, R, 128]: of the groups
    keys: Any,  # int32 [n, R, 128]
    places: Any,  # float32 [n, R, 128]
    numbers: Any,  # int32 [n, 8, K]: the chosen groups
    scalars: Any,  # the same in SMEM
    held_codes: Any,  # float32 [n, K, 128]: the codes of the chosen groups
    candidates: Any,  # float32 [n, span, K]: the same, turned
    candidate_keys: Any,  # int32
    candidate_places: Any,  # float32
    *,
    held: int,
    num_codes: int,
    span: int,
    chosen: int,
    beams: int,
) -> None:
    requests, records = words.shape[:2]
    slots, lanes = held_codes.shape[1], out.shape[2]
    for q in range(requests):
        own = Logits(logits, q, records, num_codes)
        _score_all(own, words[q], base[q], scores.at[q], maxima.at[q], held, span)
        inside = iota((records, LANES), 0) < held
        keys[q] = jnp.where(inside, sortable(maxima[q]), LOWEST)
    found = thresholds([keys.at[q] for q in range(requests)], held, chosen)
    lane = iota((1, LANES), 1)
    order = (lane & (span - 1)) * (LANES // span) + (lane >> (span.bit_length() - 1))
    groups = []
    for q in range(requests):
        places[q] = positions(keys[q], found[q], chosen, by_column=False, order=order)
        _, which = compact(
            maxima.at[q],
            lambda row, _: (lane + row * LANES).astype(jnp.float32),
            places.at[q],
            held,
            slots,
        )
        groups.append(which.astype(jnp.int32))
        numbers[q] = jnp.broadcast_to(to_row(groups[q])[:, :lanes], (SUBLANES, lanes))
    pltpu.sync_copy(numbers, scalars)
    for q in range(requests):
        _gather(scalars.at[q], scores.at[q], held_codes.at[q], chosen, span)

    size = min(beams, chosen * span)
    inside = iota(candidates.shape[1:], 0) < span
    inside &= iota(candidates.shape[1:], 1) < chosen
    for q in range(requests):
        first = groups[q] & (LANES - 1) & -span  # the lane of the group's first code
        at = iota((slots, LANES), 1) + jnp.broadcast_to(first, (slots, LANES))
        values = turned(look_up(held_codes[q], at), candidates.shape[1], lanes)
        candidates[q] = jnp.where(inside, values, -jnp.inf)
        candidate_keys[q] = jnp.where(inside, sortable(candidates[q]), LOWEST)
    found = thresholds([candidate_keys.at[q] for q in range(requests)], span, size)
    for q in range(requests):
        candidate_places[q] = positions(candidate_keys[q], found[q], size, by_column=True)
        best, which = compact(
            candidates.at[q],
            lambda row, start: ((lane + start) * span + row).astype(jnp.float32),
            candidate_places.at[q],
            span,
            slots,
        )
        _write(out.at[q], best, which.astype(jnp.int32), groups[q], span, size)


def _score_all(
    logits: Logits, words: jax.Array, base: jax.Array, scores: Any, maxima: Any, held: int, span: int
) -> None:
    """Store the scores of all codes, and the largest of each group of ``span`` codes.

    Group j of the 128 codes of register g has its maximum at lane ``j * span + g``.
    """
    shape = (logits.rows, LANES)
    lane = iota(shape, 1)
    real = iota(shape, 0) < held
    normalizer = jnp.broadcast_to(logits.normalizer(), shape)
    start = jnp.broadcast_to(base, shape)
    largest = jnp.full(shape, -jnp.inf)
    for number in range(logits.groups):
        first = number * (LANES // 32)
        own = words[:, first // LANES * LANES :][:, :LANES]
        legal = look_up(own, (lane >> 5) + first % LANES) >> (lane & 31) & 1 == 1
        score = start + (logits.group(number) - normalizer)
        score = jnp.where(legal & real & (score > -jnp.inf), score, -jnp.inf)
        scores[number] = score
        distance = 1
        while distance < span:
            score = jnp.maximum(score, pltpu.roll(score, LANES - distance, 1))
            distance *= 2
        if number:
            score = pltpu.roll(score, number, 1)
        largest = jnp.where(lane & (span - 1) == number, score, largest)
    maxima[...] = largest


def _gather(numbers: Any, scores: Any, held_codes: Any, chosen: int, span: int) -> None:
    """Copy the register row that holds each chosen group."""

    def copy(slot: Any, _: Any) -> Any:
        number = numbers[0, slot]
        beam, group = number >> 7, number & (span - 1)
        held_codes[pl.ds(slot, 1), :] = scores[group, pl.ds(beam, 1), :]
        return 0

    jax.lax.fori_loop(0, chosen, copy, 0, unroll=next(n for n in (8, 4, 2, 1) if chosen % n == 0))


def _write(
    out: Any, best: jax.Array, which: jax.Array, groups: jax.Array, span: int, size: int
) -> None:
    """Write the best codes in their order."""
    slots, lanes = best.shape[0], out.shape[1]
    order = ranked(best, size)
    score = in_order(order, best)
    real = (score > -jnp.inf) & (iota((slots, 1), 0) < size)
    which = jnp.where(real, in_order(order, which), 0)
    slot, within = which >> (span.bit_length() - 1), which & (span - 1)
    shape = (slots, round_up(slots, LANES))
    hit = jnp.broadcast_to(slot, shape) == iota(shape, 1)
    number = jnp.broadcast_to(to_row(groups), shape)
    number = jnp.sum(jnp.where(hit, number, 0), axis=1, keepdims=True)
    code = (number & (span - 1)) * LANES + (number & (LANES - 1) & -span) + within
    columns = (
        bits_of(jnp.where(real, score + 0.0, -jnp.inf)),
        jnp.where(real, number >> 7, 0),
        jnp.where(real, code, 0),
    )
    for row, values in enumerate(columns):
        out[row : row + 1] = to_row(values)[:, :lanes]
