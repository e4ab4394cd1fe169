"""One step of the constrained beam search: the children of all beams compete in one top-M."""

import jax.numpy as jnp

from genret.decoding._protocol import Readout
from genret.decoding._readout import log_probs_of
from genret.decoding._restriction import Restriction, nodes_from
from genret.decoding._state import BeamState, of_beams
from genret.decoding._topk import top_candidates
from genret.index import TrieIndex
from genret.typing import Array, Int


def constrained_step(
    index: TrieIndex,
    level: int,
    state: BeamState,
    readout: Readout,
    restriction: Restriction | None,
    beams: int,
    beams_of: Int[Array, "B"] | None,
) -> tuple[BeamState, Int[Array, "B beams"]]:
    """Extend the beams by one code, along edges of the trie that lead to an allowed item.

    The score of a candidate is its beam's plus the log-probability of its code. Ties are broken by
    beam and then by code, both ascending. A candidate of probability 0 is none.

    Args:
      index: the index.
      level: level of the beams' nodes.
      state: the beams.
      readout: the model's, for this level.
      restriction: what the requests may not be answered; None forbids nothing.
      beams: M, beams to keep.
      beams_of: beams of each request, at most M; None: M each.

    Returns:
      The beams of the next level, and the beam that each extends.
    """
    begin, end = index.children(level, state.nodes)
    edges = nodes_from(begin, index.widths[level])
    codes = index.codes_at(level, edges)
    legal = state.valid[..., None] & (edges < end[..., None])
    if restriction is not None:
        legal &= restriction.any_allowed_below(index, level + 1, begin, index.widths[level])

    scores = state.scores[..., None] + log_probs_of(readout, codes)
    # The second condition is False for NaN too, which then cannot win a place.
    scores = jnp.where(legal & (scores > -jnp.inf), scores, -jnp.inf)
    best, parents, slots = top_candidates(scores, beams)

    valid = best > -jnp.inf
    if beams_of is not None:
        valid &= jnp.arange(beams, dtype=jnp.int32)[None] < beams_of[:, None]
    parents = jnp.where(valid, parents, 0)
    edge = jnp.where(valid, of_beams(begin, parents) + slots, 0)  # the child is the edge
    code = jnp.where(valid, index.codes_at(level, edge), 0)
    so_far = jnp.where(valid[..., None], of_beams(state.codes, parents), 0)
    extended = BeamState(
        scores=jnp.where(valid, best, -jnp.inf),
        nodes=edge,
        codes=jnp.concatenate([so_far, code[..., None]], axis=-1),
        valid=valid,
    )
    return extended, parents
