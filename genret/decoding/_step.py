"""One step of the constrained beam search: the children of all beams compete in one top-M."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from genret.decoding._children import children_normalizer
from genret.decoding._dense import dense_step
from genret.decoding._ragged import ragged_step
from genret.decoding._ranking import Draw
from genret.decoding._readout import Readout, Scored
from genret.decoding._restriction import Restriction
from genret.decoding._single import single_step
from genret.decoding._state import BeamState, Candidates, NodeRange, take_beams
from genret.decoding._two_tries import step_in_two
from genret.decoding._window import window_step
from genret.index import TrieIndex
from genret.typing import Array, Int

STEPS: dict[str, Callable[..., Candidates]] = {
    "single": single_step,
    "dense": dense_step,
    "window": window_step,
    "ragged": ragged_step,
}
"""How a level is searched, by its kind: see ``genret/index/_layout.py``."""


def constrained_step(
    index: TrieIndex,
    level: int,
    state: BeamState,
    readout: Readout,
    restrictions: tuple[Restriction | None, ...],
    beams: int,
    beams_of: Int[Array, "B"] | None,
    *,
    normalize: str = "level",
    keys: Array | None = None,
) -> tuple[BeamState, Int[Array, "B beams"]]:
    """Extend the beams by one code, along edges of the trie that lead to an allowed item.

    The score of a candidate is its beam's plus the log-probability of its code. Ties are broken by
    beam and then by code, both ascending. A candidate of probability 0 is none.

    Args:
      index: the index.
      level: level of the beams' nodes.
      state: the beams.
      readout: the model's, for this level.
      restrictions: what the requests may not be answered, for each segment.
      beams: M, beams to keep.
      beams_of: beams of each request, at most M; None: M each.
      normalize: over which codes log-probabilities are normalized: "level", "catalog" or "legal".
      keys: a key of ``jax.random`` for each request, to sample; None: the best are kept.

    Returns:
      The beams of the next level, and the beam that each extends.
    """
    ended = None
    if index.end_code is not None and level > 0:
        ended = state.codes[..., -1] == index.end_code
    scored = Scored.of(readout, state.scores, ended, normalize)
    if normalize == "catalog" and any(one is not None for one in restrictions):
        anything = (None,) * len(restrictions)
        normalizer = children_normalizer(index.segments, level, state.places, scored, anything)
        scored = dataclasses.replace(scored, normalizer=normalizer)
    draw = None if keys is None else Draw.at_level(keys, level, state.keys)
    step = STEPS[index.segments[0].levels[level].layout.kind]
    if len(index.segments) == 1:
        (segment,), (place,), (restriction,) = index.segments, state.places, restrictions
        best = step(segment, level, place, scored, restriction, beams, draw)
        places: tuple[NodeRange, ...] = (best.place,)
    else:
        best, places = step_in_two(
            step, index.segments, level, state.places, scored, restrictions, beams, draw
        )

    valid = best.order > -jnp.inf
    if beams_of is not None:
        valid &= jnp.arange(beams, dtype=jnp.int32)[None] < beams_of[:, None]
    parents = jnp.where(valid, best.parents, 0)
    code = jnp.where(valid, best.codes, 0)
    so_far = jnp.where(valid[..., None], take_beams(state.codes, parents), 0)
    extended = BeamState(
        scores=jnp.where(valid, best.scores, -jnp.inf),
        keys=None if best.keys is None else jnp.where(valid, best.keys, -jnp.inf),
        places=tuple(NodeRange.where(valid, place) for place in places),
        codes=jnp.concatenate([so_far, code[..., None]], axis=-1),
        valid=valid,
    )
    return extended, parents
