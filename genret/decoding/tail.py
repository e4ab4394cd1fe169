"""From beams to items: the rows below leaves, or below any beams once few enough are left."""

import dataclasses

import jax
import jax.numpy as jnp

from genret.decoding.beams import BeamResult, BeamState, OneTrie, Searched
from genret.decoding.protocol import Cache, TailModel
from genret.index.levels import SingleLevel
from genret.index.nodes import NodeRange, count_before, take_beams
from genret.typing import Array, Bool, Int

AUTO_WIDTH = 4
"""Items a beam that an automatic tail makes room for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowsBelow:
    """The allowed rows below the beams of a request, by beam and then by row.

    Attributes:
      total: int32 [B]: how many there are, counted up to the number of slots for each beam.
      beam: int32 [B, C], the beam of each slot.
      row: int32 [B, C].
      valid: bool [B, C]: the first ``total`` slots.
    """

    total: Int[Array, "B"]
    beam: Int[Array, "B C"]
    row: Int[Array, "B C"]
    valid: Bool[Array, "B C"]

    @property
    def fit(self) -> Bool[Array, ""]:
        """Whether the slots hold all rows of all requests."""
        return (self.total <= self.row.shape[1]).all()


def rows_below(searched: Searched, state: BeamState, slots: int) -> RowsBelow:
    """List the allowed rows below the beams.

    Args:
      searched: the items.
      state: the beams.
      slots: C, rows to list at most.
    """
    level = state.codes.shape[-1]
    # More than the slots cannot matter, and the bound keeps the sums within int32.
    count = jnp.minimum(searched.counts_below(state.nodes), slots)
    until = jnp.cumsum(count, axis=1, dtype=jnp.int32)
    slot = jnp.arange(slots, dtype=jnp.int32)[None]
    which = jnp.minimum(count_before(until, slot, equal=True), count.shape[1] - 1)
    nth = slot - take_beams(until - count, which)
    beam, row = searched.rows_below(level, state.nodes, which, nth)
    return RowsBelow(total=until[:, -1], beam=beam, row=row, valid=slot < until[:, -1:])


def expand_leaves(
    searched: Searched,
    state: BeamState,
    *,
    end_code: int | None,
    beams_of: Int[Array, "B"] | None,
) -> BeamResult:
    """Replace each beam, a leaf, by its allowed items and keep the first M.

    The items of a leaf have its score and stand in the order of their positions. Every valid beam
    has an allowed item, so M leaves hold the best M items of all leaves found.

    Args:
      searched: the items.
      state: the beams after the last level.
      end_code: the code that ends a semantic ID; None: there is none.
      beams_of: items of each request, at most M; None: M each.
    """
    single = searched.layout.levels[-1].kind is SingleLevel
    if single and isinstance(searched, OneTrie) and isinstance(state.nodes, NodeRange):
        # A leaf is one item: there is nothing to lay end to end.
        items = searched.positions_of(state.nodes.lo)
        return BeamResult.of(items, state.scores, state.codes, state.valid, end_code)
    below = rows_below(searched, state, state.scores.shape[1])
    return BeamResult.of(
        searched.positions_of(below.row),
        take_beams(state.scores, below.beam),
        take_beams(state.codes, below.beam),
        _at_most(below.valid, beams_of),
        end_code,
    )


def is_worthwhile(searched: Searched, level: int, beams: int, slots: int) -> bool:
    """Say whether beams at a level have so few items below them that a tail may take them.

    It decides whether the program contains the tail at that level; whether it is taken depends on
    the beams. The number of items is a guess from the shape of the trie.
    """
    layout = searched.layout
    nodes = layout.levels[level - 1].edges
    return min(beams, nodes) * layout.rows <= slots * nodes


def score_rows(
    model: TailModel[Cache],
    cache: Cache,
    searched: Searched,
    state: BeamState,
    parents: Int[Array, "B M"],
    below: RowsBelow,
    beams: int,
    *,
    end_code: int | None,
    beams_of: Int[Array, "B"] | None,
) -> BeamResult:
    """Score all rows below the beams in one pass of the model and answer the best.

    Where the search would not have pruned, the answer is the search's. Elsewhere it is better: the
    exact best items of all below the beams. Ties are ordered as the search orders them: at each
    level by score and then by beam and code, from the last level back.

    Args:
      model: a model with ``score_tail``.
      cache: the model's, of the readout that the beams' last codes were chosen from.
      searched: the items.
      state: the beams.
      parents: the beam of the cache that each extends.
      below: their rows.
      beams: M, items to answer.
      end_code: the code that ends a semantic ID; None: there is none.
      beams_of: items of each request, at most M; None: M each.
    """
    level = state.codes.shape[-1]
    prefix = take_beams(state.codes, below.beam)
    codes = searched.codes_of(level, below.row)
    asked = jnp.where(below.valid[..., None], jnp.concatenate([prefix[..., -1:], codes], -1), 0)
    log_probs = model.score_tail(asked, take_beams(parents, below.beam), cache)
    log_probs = log_probs[..., 1:].astype(jnp.float32)
    whole = jnp.concatenate([prefix, codes], axis=-1)
    if end_code is not None:
        ended = whole[..., level - 1 : -1] == end_code
        if level == 1:
            ended = ended.at[..., 0].set(False)
        log_probs = jnp.where(ended, 0, log_probs)

    sums = [take_beams(state.scores, below.beam)]
    for offset in range(codes.shape[-1]):  # in the order in which steps add
        sums.append(sums[-1] + log_probs[..., offset])
    valid = below.valid & (sums[-1] > -jnp.inf)
    by_level = [jnp.where(valid, -score, jnp.inf) for score in reversed(sums[1:])]
    slot = jnp.broadcast_to(jnp.arange(below.row.shape[1], dtype=jnp.int32), below.row.shape)
    # Stable: the slots are in the order of beam and codes already.
    order = jax.lax.sort((*by_level, slot), dimension=1, num_keys=len(by_level))[-1][:, :beams]
    ranked = [take_beams(values, order) for values in (below.row, sums[-1], whole, valid)]
    row, scores, codes, valid = (_lengthened(values, beams) for values in ranked)
    items = searched.positions_of(row)
    return BeamResult.of(items, scores, codes, _at_most(valid, beams_of), end_code)


def _at_most(valid: Bool[Array, "B M"], most: Int[Array, "B"] | None) -> Bool[Array, "B M"]:
    """Return which ranks there are when each request has at most so many."""
    if most is None:
        return valid
    return valid & (jnp.arange(valid.shape[1], dtype=jnp.int32)[None] < most[:, None])


def _lengthened(values: Array, beams: int) -> Array:
    missing = beams - values.shape[1]
    if missing <= 0:
        return values
    return jnp.pad(values, ((0, 0), (0, missing), *[(0, 0)] * (values.ndim - 2)))
