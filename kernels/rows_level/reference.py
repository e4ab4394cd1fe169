"""The op in plain JAX."""

import jax
import jax.numpy as jnp

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
    state = state[:, :beams]
    codes, legal = _children(state, level, first, width, stride)
    logits = jnp.broadcast_to(logits, (batch, beams, logits.shape[-1])).astype(jnp.float32)
    largest = logits.max(axis=-1)
    shift = jnp.where(largest == -jnp.inf, 0, largest)
    normalizer = jnp.log(jnp.exp(logits - shift[..., None]).sum(axis=-1)) + shift
    found = jnp.take_along_axis(logits, codes, axis=-1, mode="clip")
    if end_code is not None and level > 0:
        ended = state[..., level - 1] == end_code
        found = jnp.where(ended[..., None], 0, found)
        normalizer = jnp.where(ended, 0, normalizer)
    base = jax.lax.bitcast_convert_type(state[..., SCORE], jnp.float32)
    scores = base[..., None] + (found - normalizer[..., None])
    scores = jnp.where(legal & (scores > -jnp.inf), scores, -jnp.inf)  # NaN cannot win a place

    best, where = top_m(scores.reshape(batch, -1), beams)
    valid = (best > -jnp.inf) & (jnp.arange(beams, dtype=jnp.int32)[None] < limit[:, None])
    parents, slot = jnp.where(valid, where // width, 0), jnp.where(valid, where % width, 0)
    code = jnp.take_along_axis(
        codes.reshape(batch, -1), parents * width + slot, axis=1, mode="clip"
    )
    code, best = jnp.where(valid, code, 0), jnp.where(valid, best, -jnp.inf)
    own = jnp.take_along_axis(state, parents[..., None], axis=1, mode="clip")
    following = _moved(own, code, slot, best, valid, level, first, stride)
    # What fills up the records is no beam.
    nobody = (
        jnp.zeros((batch, records - beams, LANES), jnp.int32).at[..., SCORE].set(_bits(-jnp.inf))
    )
    return jnp.concatenate([following, nobody], axis=1), parents, code, best


def _bits(value: float) -> jax.Array:
    return jax.lax.bitcast_convert_type(jnp.float32(value), jnp.int32)


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
    code: jax.Array,
    slot: jax.Array,
    score: jax.Array,
    valid: jax.Array,
    level: int,
    first: int,
    stride: int,
) -> jax.Array:
    """Return the records of the children whose parents' records are ``own``."""
    rows = jnp.arange(stride, dtype=jnp.int32).reshape(1, 1, stride)
    inside = (rows >= slot[..., None]) & (rows < own[..., COUNT, None])
    same = _codes_of(own, level, first, stride) == code[..., None]
    count = (inside & same).sum(axis=-1, dtype=jnp.int32)
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
    moved = jnp.where(valid[..., None], moved, 0)
    score = jax.lax.bitcast_convert_type(score, jnp.int32)
    return jnp.where(lane == SCORE, score[..., None], moved)
