"""A step at a level whose nodes have one row each: nodes, edges and rows are numbered alike."""

import jax.numpy as jnp

from genret.decoding._ranking import Draw, best_children
from genret.decoding._readout import Scored
from genret.decoding._restriction import Restriction
from genret.decoding._state import Candidates, NodeRange, take_beams
from genret.index.segment import Segment
from genret.typing import Array, Float, Int


def single_children(
    segment: Segment,
    level: int,
    place: NodeRange,
    scored: Scored,
    restriction: Restriction | None,
) -> tuple[Float[Array, "B M 1"], Int[Array, "B M"]]:
    """Return the logit of the only child of each beam (-inf: there is none), and its code."""
    legal = place.lo < place.hi
    if restriction is not None:
        legal &= restriction.window(place.lo) & 1 == 1
    codes = segment.levels[level].codes.at[place.lo].get(mode="clip").astype(jnp.int32)
    return jnp.where(legal[..., None], scored.logits_at(codes[..., None]), -jnp.inf), codes


def single_step(
    segment: Segment,
    level: int,
    place: NodeRange,
    scored: Scored,
    restriction: Restriction | None,
    beams: int,
    draw: Draw | None,
) -> Candidates:
    """Choose the best children of all beams at a level whose nodes have at most one row.

    Args:
      segment: the segment.
      level: the level, a single one.
      place: where the beams stand.
      scored: the beams' scores and readouts.
      restriction: what the requests may not be answered; None forbids nothing.
      beams: M, children to choose.
      draw: the randomness of a sampling search; None: the best are chosen.

    Returns:
      The children.
    """
    logits, codes = single_children(segment, level, place, scored, restriction)
    scores, keys, parents, _ = best_children(scored, logits, beams, draw)
    rows = take_beams(place.lo, parents)
    return Candidates(
        scores=scores,
        keys=keys,
        parents=parents,
        codes=take_beams(codes, parents),
        place=NodeRange(nodes=rows, lo=rows, hi=rows + 1),
    )
