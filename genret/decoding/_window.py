"""A step at a level whose nodes have few rows: their children are bits of one word."""

import jax
import jax.numpy as jnp

from genret.decoding._ranking import Draw, best_children
from genret.decoding._readout import Scored
from genret.decoding._restriction import Restriction, rows_in_window, segment_any
from genret.decoding._state import Candidates, NodeRange, take_beams
from genret.index.bits import low_bits, lowest_bit, rank, window
from genret.index.segment import Segment
from genret.typing import Array, Float, Int, UInt


def window_children(
    segment: Segment,
    level: int,
    place: NodeRange,
    scored: Scored,
    restriction: Restriction | None,
) -> tuple[Float[Array, "B M K"], UInt[Array, "B M"], Int[Array, "B M"]]:
    """Return a logit for each row of the widest node: of the edge that starts there, or -inf.

    Returns:
      The logits; the bits of the rows at which edges start; and the first edge of each beam.
    """
    stored = segment.levels[level]
    rows = rows_in_window(place)
    starts = window(stored.starts, place.lo) & rows
    legal = starts
    if restriction is not None:
        legal = segment_any(starts, restriction.window(place.lo) & rows)
    first = rank(stored.starts, place.lo)
    offset = jnp.arange(stored.layout.width, dtype=jnp.int32).reshape(1, 1, -1)
    bit = jnp.uint32(1) << offset.astype(jnp.uint32)
    edge = first[..., None] + _count(starts[..., None] & (bit - 1))
    codes = stored.codes.at[edge].get(mode="clip").astype(jnp.int32)
    logits = jnp.where(legal[..., None] & bit != 0, scored.logits_at(codes), -jnp.inf)
    return logits, starts, first


def window_step(
    segment: Segment,
    level: int,
    place: NodeRange,
    scored: Scored,
    restriction: Restriction | None,
    beams: int,
    draw: Draw | None,
) -> Candidates:
    """Choose the best children of all beams at a level whose nodes have at most 32 rows.

    Args:
      segment: the segment.
      level: the level, a window one.
      place: where the beams stand.
      scored: the beams' scores and readouts.
      restriction: what the requests may not be answered; None forbids nothing.
      beams: M, children to choose.
      draw: the randomness of a sampling search; None: the best are chosen.

    Returns:
      The children.
    """
    stored = segment.levels[level]
    logits, starts, first = window_children(segment, level, place, scored, restriction)
    best, keys, parents, slots = best_children(scored, logits, beams, draw)

    begin, size = take_beams(place.lo, parents), take_beams(place.hi - place.lo, parents)
    own = take_beams(starts, parents)
    # The child ends where the next edge starts, or with its parent. (Its bit is shifted out in two
    # steps: a shift by the whole word is not defined.)
    until = slots + 1 + lowest_bit(own >> slots.astype(jnp.uint32) >> 1)
    edges = take_beams(first, parents) + _count(own & low_bits(slots))
    return Candidates(
        scores=best,
        keys=keys,
        parents=parents,
        codes=stored.codes.at[edges].get(mode="clip").astype(jnp.int32),
        place=NodeRange(nodes=edges, lo=begin + slots, hi=begin + jnp.minimum(until, size)),
    )


def _count(words: jax.Array) -> jax.Array:
    return jax.lax.population_count(words).astype(jnp.int32)
