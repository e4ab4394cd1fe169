"""The op on a GPU (Triton): three kernels, and no sort.

The first scores the codes of one beam in each program and keeps the maxima of groups of 128. The
second finds the K groups whose maxima come first, the third the K best codes inside these. Both
count how many others beat each one: that is its rank.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from .._dispatch import check_fits
from .._triton import triton as plgpu

OP = "dense_level"

GROUP = 128
"""Codes of a group."""

CODES = 1024
"""Logits that a program reads at once, at most."""

OWN = 32
"""Groups or codes whose ranks a program counts."""

MOST_RIVALS = 1 << 15
"""Groups, or codes of the chosen groups, at which counting is still cheap."""


def dense_level(
    logits: jax.Array, words: jax.Array, base: jax.Array, *, beams: int, interpret: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Choose the best codes of all beams; see :func:`genret_kernels.dense_level.api`."""
    batch, held, num_words = words.shape
    num_codes = logits.shape[-1]
    block = min(CODES, max(GROUP, pl.next_power_of_2(num_codes)))
    codes = pl.cdiv(num_codes, block) * block
    groups = held * codes // GROUP
    chosen = min(beams, groups)
    check_fits(OP, "groups with 'pallas_gpu'", groups, MOST_RIVALS)
    check_fits(OP, "candidates with 'pallas_gpu'", chosen * GROUP, MOST_RIVALS)
    settings: dict[str, Any] = {
        "compiler_params": plgpu.CompilerParams(num_warps=4, num_stages=1),
        "interpret": interpret,
    }
    last = logits.shape[1] - 1
    of_beam = lambda size: pl.BlockSpec((None, None, size), lambda b, m: (b, m, 0))  # noqa: E731
    scores, maxima = pl.pallas_call(
        functools.partial(_score, num_codes=num_codes, block=block),
        out_shape=[
            jax.ShapeDtypeStruct((batch, held, codes), jnp.float32),
            jax.ShapeDtypeStruct((batch, held, codes // GROUP), jnp.float32),
        ],
        grid=(batch, held),
        in_specs=[
            pl.BlockSpec((None, None, codes), lambda b, m: (b, jnp.minimum(m, last), 0)),
            of_beam(num_words),
            pl.BlockSpec((None, None), lambda b, m: (b, m)),
        ],
        out_specs=[of_beam(codes), of_beam(codes // GROUP)],
        name="dense_level_scores",
        **settings,
    )(logits, jax.lax.bitcast_convert_type(words, jnp.int32), base)
    scores, maxima = scores.reshape(batch, held * codes), maxima.reshape(batch, groups)

    of_request = lambda size: pl.BlockSpec((None, size), lambda b, i: (b, 0))  # noqa: E731
    numbers: tuple[jax.Array, ...] = ()  # every group is chosen
    if chosen < groups:
        numbers = (
            pl.pallas_call(
                functools.partial(_choose_groups, chosen=chosen),
                out_shape=jax.ShapeDtypeStruct((batch, chosen), jnp.int32),
                grid=(batch, pl.cdiv(groups, OWN)),
                in_specs=[of_request(groups)],
                out_specs=of_request(chosen),
                name="dense_level_groups",
                **settings,
            )(maxima),
        )
    size = max(chosen * GROUP, beams)
    return tuple(
        pl.pallas_call(
            functools.partial(_choose_codes, codes=codes, chosen=chosen, beams=beams),
            out_shape=[
                jax.ShapeDtypeStruct((batch, beams), dtype)
                for dtype in (jnp.float32, jnp.int32, jnp.int32)
            ],
            grid=(batch, pl.cdiv(size, OWN)),
            in_specs=[of_request(x.shape[1]) for x in (scores, maxima, *numbers)],
            out_specs=[of_request(beams)] * 3,
            name="dense_level_codes",
            **settings,
        )(scores, maxima, *numbers)
    )


def _score(
    logits: Any,  # [V] of the beam
    words: Any,  # int32 [W]: which codes are legal
    base: Any,  # float32 []
    scores: Any,  # float32 [V filled up], out
    maxima: Any,  # float32 [G], out
    *,
    num_codes: int,
    block: int,
) -> None:
    blocks = scores.shape[0] // block

    def read(number: Any) -> tuple[jax.Array, jax.Array]:
        code = number * block + jnp.arange(block)
        found = plgpu.load(
            logits.at[pl.ds(number * block, block)], mask=code < num_codes, other=-jnp.inf
        )
        return code, found.astype(jnp.float32)

    def merge(number: Any, carry: Any) -> Any:
        largest, total = carry
        _, own = read(number)
        now = jnp.maximum(largest, own)
        shift = jnp.where(now == -jnp.inf, 0.0, now)
        return now, total * jnp.exp(largest - shift) + jnp.exp(own - shift)

    nothing = jnp.full((block,), -jnp.inf, jnp.float32), jnp.zeros((block,), jnp.float32)
    largest, total = jax.lax.fori_loop(0, blocks, merge, nothing)
    most = jnp.max(largest)
    shift = jnp.where(most == -jnp.inf, 0.0, most)
    normalizer = jnp.log(jnp.sum(total * jnp.exp(largest - shift))) + shift
    start = base[...]

    def write(number: Any, _: Any) -> Any:
        code, own = read(number)
        inside = code < min(num_codes, words.shape[0] * 32)
        bits = plgpu.load(words.at[code >> 5], mask=inside, other=0)
        legal = (bits >> (code & 31)) & 1 == 1
        score = start + (own - normalizer)
        # NaN cannot win a place.
        score = jnp.where(legal & inside & (score > -jnp.inf), score, -jnp.inf)
        scores[pl.ds(number * block, block)] = score
        groups = block // GROUP
        best = jnp.max(score.reshape(groups, GROUP), axis=1)
        maxima[pl.ds(number * groups, groups)] = best
        return 0

    jax.lax.fori_loop(0, blocks, write, 0)


def _choose_groups(
    maxima: Any,  # float32 [G]
    numbers: Any,  # int32 [K], out: the chosen groups, best first
    *,
    chosen: int,
) -> None:
    groups = maxima.shape[0]
    own = pl.program_id(1) * OWN + jnp.arange(OWN)
    value = plgpu.load(maxima.at[own], mask=own < groups, other=-jnp.inf)

    def count(block: Any, rank: Any) -> Any:
        rival = block * GROUP + jnp.arange(GROUP)
        other = plgpu.load(maxima.at[rival], mask=rival < groups, other=-jnp.inf)
        return rank + _beaten(other, rival, value, own, rival < groups)

    rank = jax.lax.fori_loop(0, pl.cdiv(groups, GROUP), count, jnp.zeros((OWN,), jnp.int32))
    plgpu.store(numbers.at[rank], own, mask=(own < groups) & (rank < chosen))


def _choose_codes(
    scores: Any,  # float32 [M * V filled up]
    maxima: Any,  # float32 [G]
    *others: Any,  # int32 [K], the chosen groups, best first, if not all are; and what is written:
    # float32 [K], the best scores; int32 [K], their beams; int32 [K], their codes
    codes: int,
    chosen: int,
    beams: int,
) -> None:
    *numbers, best, parents, chosen_codes = others
    candidate = pl.program_id(1) * OWN + jnp.arange(OWN)
    real = candidate < chosen * GROUP
    group_of = candidate >> 7
    if numbers:
        group_of = plgpu.load(numbers[0].at[group_of], mask=real, other=0)
    flat = group_of * GROUP + (candidate & (GROUP - 1))
    score = plgpu.load(scores.at[flat], mask=real, other=-jnp.inf)

    def count(each: Any, rank: Any) -> Any:
        start = (numbers[0][each] if numbers else each) * GROUP
        rival = start + jnp.arange(GROUP)
        return rank + _beaten(scores[pl.ds(start, GROUP)], rival, score, flat, None)

    rounds = jnp.int32(chosen)
    if numbers:
        # K groups have a code that is no worse than the smallest of their maxima. Most programs
        # hold none that is as good, and need not count.
        contends = jnp.max(score) >= maxima[numbers[0][chosen - 1]]
        rounds = jnp.where(contends, rounds, jnp.int32(0))
    rank = jax.lax.fori_loop(0, rounds, count, jnp.zeros((OWN,), jnp.int32))
    if numbers:
        rank = jnp.where(contends, rank, beams + candidate)
    rank = jnp.where(real, rank, candidate)  # what fills up the answer, where there is not enough
    valid = real & (score > -jnp.inf)
    here = rank < beams
    flat = jnp.where(valid, flat, 0)
    parent = jax.lax.div(flat, jnp.full_like(flat, codes))
    plgpu.store(best.at[rank], jnp.where(valid, score, -jnp.inf), mask=here)
    plgpu.store(parents.at[rank], parent, mask=here)
    plgpu.store(chosen_codes.at[rank], flat - parent * codes, mask=here)


def _beaten(
    other: jax.Array, rival: jax.Array, own: jax.Array, number: jax.Array, real: jax.Array | None
) -> jax.Array:
    """Count for each of some numbers the rivals that come before it: larger, or equal and earlier."""
    earlier = (other[None, :] == own[:, None]) & (rival[None, :] < number[:, None])
    beats = (other[None, :] > own[:, None]) | earlier
    if real is not None:
        beats &= real[None, :]
    return jnp.sum(jnp.where(beats, 1, 0), axis=1)
