"""From beams to rows: the allowed rows below them, put end to end."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from genret.decoding._restriction import Restriction
from genret.decoding._sorted import count_before
from genret.decoding._state import BeamResult, BeamState, take_beams
from genret.index import TrieIndex
from genret.typing import Array, Int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class RowsBelow:
    """The allowed rows below the beams of a request: by beam, then by segment, then by row.

    Attributes:
      total: int32 [B]: how many there are, counted up to the number of slots for each beam.
      beam: int32 [B, C], the beam of each slot.
      segment: int32 [B, C], the segment of its row.
      row: int32 [B, C].
      valid: bool [B, C]: the first ``total`` slots.
    """

    total: Any
    beam: Any
    segment: Any
    row: Any
    valid: Any


def rows_below(
    index: TrieIndex,
    state: BeamState,
    restrictions: tuple[Restriction | None, ...],
    slots: int,
) -> RowsBelow:
    """List the allowed rows below the beams.

    Args:
      index: the index.
      state: the beams.
      restrictions: what the requests may not be answered, for each segment.
      slots: C, rows to list at most.

    Returns:
      The rows.
    """
    level = state.codes.shape[-1]
    counts = []
    for place, restriction in zip(state.places, restrictions, strict=True):
        allowed = place.hi - place.lo
        if restriction is not None:
            allowed = restriction.allowed_before(place.hi) - restriction.allowed_before(place.lo)
        # More than the slots cannot matter, and the bound keeps the sums within int32.
        counts.append(jnp.where(state.valid, jnp.minimum(allowed, slots), 0))
    # Ranges of rows, beam by beam and in it segment by segment.
    num_segments = len(counts)
    count = jnp.stack(counts, axis=-1).reshape(counts[0].shape[0], -1)
    until = jnp.cumsum(count, axis=1)
    slot = jnp.arange(slots, dtype=jnp.int32)
    which = jnp.minimum(count_before(until, slot[None], equal=True), count.shape[1] - 1)
    nth = slot[None] - take_beams(until - count, which)
    beam, segment = which // num_segments, which % num_segments
    row = jnp.zeros_like(beam)
    for number, (place, restriction) in enumerate(zip(state.places, restrictions, strict=True)):
        lo, hi = take_beams(place.lo, beam), take_beams(place.hi, beam)
        own = lo + nth
        if restriction is not None:
            own = restriction.nth_allowed(lo, hi, nth, _steps(index, number, level))
        row = jnp.where(segment == number, own, row)
    return RowsBelow(
        total=until[:, -1], beam=beam, segment=segment, row=row, valid=slot[None] < until[:, -1:]
    )


def expand_leaves(
    index: TrieIndex,
    state: BeamState,
    restrictions: tuple[Restriction | None, ...],
    beams_of: Int[Array, "B"] | None,
) -> BeamResult:
    """Replace each beam, a leaf, by its allowed items and keep the first M.

    The items of a leaf have its score and stand in the order of their positions. Every valid beam
    has an allowed item, so M leaves hold the best M items of all leaves found.

    Args:
      index: the index.
      state: the beams after the last level.
      restrictions: what the requests may not be answered, for each segment.
      beams_of: items of each request, at most M; None: M each.

    Returns:
      The items.
    """
    below = rows_below(index, state, restrictions, state.scores.shape[1])
    return result_of(
        index,
        below,
        scores=take_beams(state.scores, below.beam),
        codes=take_beams(state.codes, below.beam),
        valid=below.valid,
        beams_of=beams_of,
    )


def result_of(
    index: TrieIndex,
    below: RowsBelow,
    *,
    scores: Array,
    codes: Array,
    valid: Array,
    beams_of: Int[Array, "B"] | None,
) -> BeamResult:
    """Return ranked rows as an answer: their items, and padding where there is none."""
    if beams_of is not None:
        ranks = jnp.arange(scores.shape[1], dtype=jnp.int32)
        valid &= ranks[None] < beams_of[:, None]
    items = jnp.zeros_like(below.row)
    for number, segment in enumerate(index.segments):
        items = jnp.where(below.segment == number, segment.position_of(below.row), items)
    shown = jnp.broadcast_to(valid[..., None], codes.shape)
    if index.end_code is not None:
        shown &= ~_after_the_end(codes, index.end_code)
    return BeamResult(
        items=jnp.where(valid, items, -1),
        scores=jnp.where(valid, scores, -jnp.inf),
        codes=jnp.where(shown, codes, -1),
        valid=valid,
    )


def _after_the_end(codes: Int[Array, "B M L"], end_code: int) -> Array:
    """Say which codes follow an end code; the first code is none."""
    is_end = (codes == end_code).at[..., 0].set(False)
    return jnp.cumsum(is_end, axis=-1) - is_end > 0


def _steps(index: TrieIndex, segment: int, level: int) -> int:
    """Return the bisections that find a row among those of a node of a level."""
    layout = index.segments[segment].layout
    if level == index.depth:
        return layout.leaf_steps
    return layout.levels[level].steps
