"""A step in an index of two tries: the one that was built, and a small one of inserted items."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from genret.decoding._beside import SecondTrie
from genret.decoding._children import children_normalizer, children_of
from genret.decoding._ragged import ragged_largest, ragged_step
from genret.decoding._ranking import Draw, largest_drawn
from genret.decoding._readout import Scored
from genret.decoding._restriction import Restriction
from genret.decoding._state import Candidates, NodeRange, take_beams
from genret.index.segment import Segment
from genret.typing import Array, Float


def step_in_two(
    step: Callable[..., Candidates],
    segments: tuple[Segment, ...],
    level: int,
    places: tuple[NodeRange, ...],
    scored: Scored,
    restrictions: tuple[Restriction | None, ...],
    beams: int,
    draw: Draw | None,
) -> tuple[Candidates, tuple[NodeRange, ...]]:
    """Choose the best children of all beams in both tries; one that is in both is one child.

    A child that the first trie may answer is that trie's, and the second leaves it out. So no child
    competes, is added up or draws twice. Where a chosen child stands in each trie is looked up.

    Args:
      step: of the first trie's level, as in ``_step.py``.
      segments: the tries; the levels of the second are ragged.
      level: the level.
      places: where the beams stand in each.
      scored: the beams' scores and readouts.
      restrictions: what the requests may not be answered, in each.
      beams: M, children to choose.
      draw: the randomness of a sampling search; None: the best are chosen.

    Returns:
      The children and their places.
    """
    first = (segments[0], level, places[0])
    second = (segments[1], level, places[1])
    beside = SecondTrie(
        level=segments[0].levels[level], place=places[0], restriction=restrictions[0]
    )
    if scored.normalizer is None:
        normalizer = children_normalizer(segments, level, places, scored, restrictions)
        scored = dataclasses.replace(scored, normalizer=normalizer)
    apart = None
    if draw is not None:
        apart = draw.of_segment(1)
        own = _largest(*first, scored, restrictions[0], beams, draw)
        more = ragged_largest(*second, scored, restrictions[1], beams, apart, beside)
        largest = jnp.maximum(own, more)
        draw = dataclasses.replace(draw, largest=largest)
        apart = dataclasses.replace(apart, largest=largest)
    best = _best(
        step(*first, scored, restrictions[0], beams, draw),
        ragged_step(*second, scored, restrictions[1], beams, apart, beside),
        beams,
    )
    return best, (_place(*first, best), _place(*second, best))


def _largest(
    segment: Segment,
    level: int,
    place: NodeRange,
    scored: Scored,
    restriction: Restriction | None,
    beams: int,
    draw: Draw,
) -> Float[Array, "B M"]:
    if segment.levels[level].layout.kind == "ragged":
        return ragged_largest(segment, level, place, scored, restriction, beams, draw, None)
    children = children_of(segment, level, place, scored, restriction)
    return largest_drawn(scored, children, draw)


def _best(one: Candidates, two: Candidates, beams: int) -> Candidates:
    """Choose the best of both; equal ones by beam and then by code."""
    parts = (
        (-one.order, -two.order),
        (one.parents, two.parents),
        (one.codes, two.codes),
        (one.scores, two.scores),
    )
    joined = [jnp.concatenate(pair, axis=1) for pair in parts]
    order, parents, codes, scores = jax.lax.sort(joined, dimension=1, num_keys=3)
    return Candidates(
        scores=scores[:, :beams],
        keys=None if one.keys is None else -order[:, :beams],
        parents=parents[:, :beams],
        codes=codes[:, :beams],
        place=one.place,  # to be looked up
    )


def _place(segment: Segment, level: int, place: NodeRange, best: Candidates) -> NodeRange:
    """Return where the chosen children stand in a trie; those that are not in it have no rows."""
    lo, hi = take_beams(place.lo, best.parents), take_beams(place.hi, best.parents)
    stored = segment.levels[level]
    edges, found = stored.child(lo, hi, best.codes)
    begin, end = stored.rows_of(edges, lo, hi)
    return NodeRange.where(found, NodeRange(nodes=edges, lo=begin, hi=end))
