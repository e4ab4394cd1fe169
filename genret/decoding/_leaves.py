"""From leaves to items: the items that share a semantic ID fill a rank each."""

import jax
import jax.numpy as jnp

from genret.decoding._restriction import Restriction
from genret.decoding._state import BeamResult, BeamState, of_beams
from genret.index import TrieIndex
from genret.typing import Array, Int


def expand_leaves(
    index: TrieIndex,
    state: BeamState,
    restriction: Restriction | None,
    beams_of: Int[Array, "B"] | None,
) -> BeamResult:
    """Replace each beam, a leaf, by its allowed items and keep the first M.

    The items of a leaf have its score and stand in the order of their positions. Every valid beam
    has an allowed item, so M leaves hold the best M items of all leaves found.

    Args:
      index: the index.
      state: the beams after the last level.
      restriction: what the requests may not be answered; None forbids nothing.
      beams_of: items of each request, at most M; None: M each.

    Returns:
      The items.
    """
    num_ranks = state.scores.shape[1]
    lo, hi = index.row_range(index.depth, state.nodes)
    before = lo if restriction is None else restriction.allowed_before(lo)
    until = hi if restriction is None else restriction.allowed_before(hi)
    allowed = jnp.where(state.valid, until - before, 0)
    # Rank r belongs to the first beam whose items, with those of the beams above it, exceed r.
    # No more than M can matter, and the bound keeps the sum within int32.
    filled = jnp.cumsum(jnp.minimum(allowed, num_ranks), axis=1)
    ranks = jnp.arange(num_ranks, dtype=jnp.int32)
    beam = jax.vmap(lambda sums: jnp.searchsorted(sums, ranks, side="right"))(filled)
    beam = jnp.minimum(beam, num_ranks - 1).astype(jnp.int32)
    nth = ranks[None] - (of_beams(filled, beam) - jnp.minimum(of_beams(allowed, beam), num_ranks))

    valid = ranks[None] < filled[:, -1:]
    if beams_of is not None:
        valid &= ranks[None] < beams_of[:, None]
    lo, hi = of_beams(lo, beam), of_beams(hi, beam)
    row = (
        lo + nth
        if restriction is None
        else _nth_allowed(restriction, lo, hi, nth, index.leaf_width)
    )
    items = index.rows.at[row].get(mode="clip")
    return BeamResult(
        items=jnp.where(valid, items, -1),
        scores=jnp.where(valid, of_beams(state.scores, beam), -jnp.inf),
        codes=jnp.where(valid[..., None], of_beams(state.codes, beam), -1),
        valid=valid,
    )


def _nth_allowed(
    restriction: Restriction,
    lo: Int[Array, "B M"],
    hi: Int[Array, "B M"],
    nth: Int[Array, "B M"],
    leaf_width: int,
) -> Int[Array, "B M"]:
    """Return the ``nth`` (from 0) allowed row of [lo, hi), by bisection on the counts."""
    if leaf_width == 1:
        return lo
    wanted = restriction.allowed_before(lo) + nth
    # Invariant: at most `wanted` rows are allowed before `lo`, more than that before `hi`.
    for _ in range(leaf_width.bit_length() - 1):
        middle = lo + (hi - lo) // 2
        enough = restriction.allowed_before(middle) > wanted
        lo, hi = jnp.where(enough, lo, middle), jnp.where(enough, middle, hi)
    return lo
