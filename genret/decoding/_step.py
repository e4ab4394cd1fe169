"""One step of the constrained beam search: the children of all beams compete in one top-M."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from genret.decoding._dense import dense_step
from genret.decoding._ragged import ragged_step
from genret.decoding._ranking import Draw
from genret.decoding._readout import Readout, Scored
from genret.decoding._restriction import Restriction
from genret.decoding._state import BeamState, Chosen, Place, of_beams
from genret.decoding._window import window_step
from genret.index import TrieIndex
from genret.typing import Array, Int

STEPS: dict[str, Callable[..., Chosen]] = {
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
      normalize: over which codes log-probabilities are normalised, "level" or "legal".
      keys: a key of ``jax.random`` for each request, to sample; None: the best are kept.

    Returns:
      The beams of the next level, and the beam that each extends.
    """
    ended = None
    if index.end_code is not None and level > 0:
        ended = state.codes[..., -1] == index.end_code
    scored = Scored.of(readout, state.scores, ended, normalize)
    draw = None if keys is None else Draw.at_level(keys, level, state.keys)
    found = [
        STEPS[segment.levels[level].layout.kind](
            segment, level, place, scored, restriction, beams, draw
        )
        for segment, place, restriction in zip(
            index.segments, state.places, restrictions, strict=True
        )
    ]
    best, places = (found[0], (found[0].place,)) if len(found) == 1 else _merge(found, beams)

    valid = best.order > -jnp.inf
    if beams_of is not None:
        valid &= jnp.arange(beams, dtype=jnp.int32)[None] < beams_of[:, None]
    parents = jnp.where(valid, best.parents, 0)
    code = jnp.where(valid, best.codes, 0)
    so_far = jnp.where(valid[..., None], of_beams(state.codes, parents), 0)
    extended = BeamState(
        scores=jnp.where(valid, best.scores, -jnp.inf),
        keys=None if best.keys is None else jnp.where(valid, best.keys, -jnp.inf),
        places=tuple(Place.where(valid, place) for place in places),
        codes=jnp.concatenate([so_far, code[..., None]], axis=-1),
        valid=valid,
    )
    return extended, parents


def _merge(found: list[Chosen], beams: int) -> tuple[Chosen, tuple[Place, ...]]:
    """Choose the best children of several segments; one that is in two of them is one child.

    A child among the best M of all is among the best M of every segment that holds it: what stands
    before it there stands before it everywhere. So its places in all segments are at hand.
    """
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *found)
    slots = jnp.broadcast_to(
        jnp.arange(joined.scores.shape[1], dtype=jnp.int32), joined.scores.shape
    )
    order, parents, codes, slots = jax.lax.sort(
        (-joined.order, joined.parents, joined.codes, slots), dimension=1, num_keys=3
    )
    same = (parents[:, 1:] == parents[:, :-1]) & (codes[:, 1:] == codes[:, :-1])
    again = jnp.pad(same & (order[:, 1:] < jnp.inf), ((0, 0), (1, 0)))
    # Copies of a child stand side by side: only the first keeps its rank, the others go last.
    ranks = jnp.where(again, jnp.iinfo(jnp.int32).max, jnp.arange(slots.shape[1])[None])
    places = []
    for number, part in enumerate(found):
        own = part.order > -jnp.inf
        begin = sum(other.scores.shape[1] for other in found[:number])
        local = slots - begin
        here = (local >= 0) & (local < own.shape[1])
        local = jnp.where(here, local, 0)
        here &= of_beams(own, local)
        mine = Place.where(here, jax.tree.map(lambda x, w=local: of_beams(x, w), part.place))
        # The copy may come from this segment, or the next one in the order does.
        follows = jnp.pad(again[:, 1:], ((0, 0), (0, 1)))
        nxt = jax.tree.map(lambda x: jnp.pad(x[:, 1:], ((0, 0), (0, 1))), mine)
        places.append(
            jax.tree.map(
                lambda x, y, f=follows, h=here: jnp.where(h, x, jnp.where(f, y, 0)), mine, nxt
            )
        )
    _, kept = jax.lax.sort(
        (ranks, jnp.broadcast_to(jnp.arange(slots.shape[1]), slots.shape)), dimension=1, num_keys=1
    )
    kept = kept[:, :beams]
    chosen = jax.tree.map(lambda x: of_beams(of_beams(x, slots), kept), joined)
    gone = of_beams(again, kept)
    best = Chosen(
        scores=jnp.where(gone, -jnp.inf, chosen.scores),
        keys=None if chosen.keys is None else jnp.where(gone, -jnp.inf, chosen.keys),
        parents=chosen.parents,
        codes=chosen.codes,
        place=chosen.place,
    )
    return best, tuple(jax.tree.map(lambda x: of_beams(x, kept), place) for place in places)
