"""The op in plain JAX."""

import jax
import jax.numpy as jnp

from .._logsumexp import logsumexp
from ..top_m.reference import top_m
from .layout import ALLOWED, COUNT, DATA, LANES, LO, SCORE


def rows_level(
    logits: jax.Array,
    state: jax.Array,
    limit: jax.Array,
    *,
    level: int,
    first: int,
    width: int,
    stride: int,
    beams: int,
    end_code: int | None,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Extend the beams by one code; see :func:`genret_kernels.rows_level.api`."""
    batch, records = state.shape[:2]
    codes, legal = _children(state[:, :beams], level, first, width, stride)
    logits = jnp.broadcast_to(logits, (batch, beams, logits.shape[-1])).astype(jnp.float32)
    normalizer = logsumexp(logits)
    found = jnp.take_along_axis(logits, codes, axis=-1, mode="clip")
    if end_code is not None and level > 0:
        ended = state[:, :beams, level - 1] == end_code
        found = jnp.where(ended[..., None], 0, found)
        normalizer = jnp.where(ended, 0, normalizer)
    base = jax.lax.bitcast_convert_type(state[:, :beams, SCORE], jnp.float32)
    scores = base[..., None] + (found - normalizer[..., None])
    scores = jnp.where(legal & (scores > -jnp.inf), scores, -jnp.inf)  # NaN cannot win a place

    best, where = top_m(scores.reshape(batch, -1), beams)
    # What fills up the records is no beam.
    fill = ((0, 0), (0, records - beams))
    best, where = jnp.pad(best, fill, constant_values=-jnp.inf), jnp.pad(where, fill)
    valid = (best > -jnp.inf) & (jnp.arange(records, dtype=jnp.int32)[None] < limit[:, None])
    parents, slot = jnp.where(valid, where // width, 0), jnp.where(valid, where % width, 0)
    own = jnp.take_along_axis(state, parents[..., None], axis=1, mode="clip")
    best = jnp.where(valid, best, -jnp.inf)
    following = _moved(own, slot, best, level, first, width, stride)
    # Codes and scores are read from the records: a GPU then writes them once.
    held = following[:, :beams]
    score = jax.lax.bitcast_convert_type(held[..., SCORE], jnp.float32)
    return following, parents[:, :beams], held[..., level], score


def _codes_of(state: jax.Array, level: int, first: int, stride: int) -> jax.Array:
    """Return the codes of a level of all rows that the records hold, int32 [B, M, stride]."""
    start = DATA + (level - first) // 2 * stride
    words = state[..., start : start + stride]
    return words >> 16 * ((level - first) % 2) & 0xFFFF


def _children(
    state: jax.Array, level: int, first: int, width: int, stride: int
) -> tuple[jax.Array, jax.Array]:
    """Return the code of each row, and whether a child that leads to an allowed item starts there."""
    codes = _codes_of(state, level, first, stride)[..., :width]
    slot = jnp.arange(width, dtype=jnp.int32).reshape(1, 1, width)
    inside = slot < state[..., COUNT, None]
    leads = inside & (state[..., ALLOWED, None] >> slot & 1 == 1)
    distance = 1
    while distance < width:  # of a run of equal codes, the first row hears of all others
        after = codes[..., distance:] == codes[..., :-distance]
        further = leads[..., distance:] & after
        leads |= jnp.pad(further, ((0, 0), (0, 0), (0, distance)))
        distance *= 2
    again = (
        (codes[..., 1:] == codes[..., :-1]) if width > 1 else jnp.zeros((*codes.shape[:2], 0), bool)
    )
    starts = ~jnp.pad(again, ((0, 0), (0, 0), (1, 0)))
    return codes, inside & starts & leads


def _moved(
    own: jax.Array,
    slot: jax.Array,
    score: jax.Array,
    level: int,
    first: int,
    width: int,
    stride: int,
) -> jax.Array:
    """Return the records of the children whose parents' records are ``own``; no beam: all 0."""
    codes = _codes_of(own, level, first, stride)
    code, count = jnp.zeros_like(slot), jnp.zeros_like(slot)
    for row in range(width):  # a gather and a reduction would be kernels of their own
        code = jnp.where(row == slot, codes[..., row], code)
    for row in range(width):
        inside = (row >= slot) & (row < own[..., COUNT])
        count += (inside & (codes[..., row] == code)).astype(jnp.int32)
    lane = jnp.arange(LANES, dtype=jnp.int32).reshape(1, 1, LANES)
    # The child's rows move to the front of their group; what follows them is never looked at.
    source = jnp.where(lane < DATA, lane, jnp.minimum(lane + slot[..., None], LANES - 1))
    moved = jnp.take_along_axis(own, source, axis=2, mode="clip")
    allowed = jax.lax.bitcast_convert_type(own[..., ALLOWED], jnp.uint32) >> slot.astype(jnp.uint32)
    fields = {
        level: code,
        LO: own[..., LO] + slot,
        COUNT: count,
        ALLOWED: jax.lax.bitcast_convert_type(allowed, jnp.int32),
    }
    for at, value in fields.items():
        moved = jnp.where(lane == at, value[..., None], moved)
    moved = jnp.where(score[..., None] > -jnp.inf, moved, 0)
    score = jax.lax.bitcast_convert_type(score, jnp.int32)
    return jnp.where(lane == SCORE, score[..., None], moved)
