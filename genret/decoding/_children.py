"""The logits of all children of the beams, and what they add up to."""

import jax.numpy as jnp

from genret.decoding._beside import SecondTrie
from genret.decoding._dense import dense_children
from genret.decoding._ragged import ragged_normalizer
from genret.decoding._readout import Scored, logsumexp
from genret.decoding._restriction import Restriction
from genret.decoding._single import single_children
from genret.decoding._state import NodeRange
from genret.decoding._window import window_children
from genret.index.segment import Segment
from genret.typing import Array, Float


def children_normalizer(
    segments: tuple[Segment, ...],
    level: int,
    places: tuple[NodeRange, ...],
    scored: Scored,
    restrictions: tuple[Restriction | None, ...],
) -> Float[Array, "B M"]:
    """Return the logsumexp of the logits of each beam's children; -inf: it has none.

    Args:
      segments: the tries, one or two; a child that is in both counts once.
      level: the level.
      places: where the beams stand in each.
      scored: the beams' scores and readouts.
      restrictions: what the requests may not be answered, in each.
    """
    stored = segments[0].levels[level]
    first = (segments[0], level, places[0], scored, restrictions[0])
    if stored.layout.kind == "ragged":
        own = ragged_normalizer(*first, None)
    else:
        own = logsumexp(children_of(*first))
    if len(segments) == 1:
        return own
    beside = SecondTrie(level=stored, place=places[0], restriction=restrictions[0])
    second = (segments[1], level, places[1], scored, restrictions[1])
    return jnp.logaddexp(own, ragged_normalizer(*second, beside))


def children_of(
    segment: Segment, level: int, place: NodeRange, scored: Scored, restriction: Restriction | None
) -> Float[Array, "B M K"]:
    """Return the logits of the children of a level that is not ragged; -inf: no child."""
    kind = segment.levels[level].layout.kind
    if kind == "dense":
        return dense_children(segment, level, place, scored, restriction)
    if kind == "window":
        return window_children(segment, level, place, scored, restriction)[0]
    return single_children(segment, level, place, scored, restriction)[0]
