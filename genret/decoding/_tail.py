"""The exhaustive tail: once few items are left below the beams, all are scored in one pass."""

from typing import Any

import jax
import jax.numpy as jnp

from genret.decoding._leaves import RowsBelow, result_of
from genret.decoding._state import BeamResult, BeamState, take_beams
from genret.index import TrieIndex
from genret.typing import Array, Int

AUTO_WIDTH = 4
"""Items a beam that an automatic tail makes room for."""


def is_worthwhile(index: TrieIndex, level: int, beams: int, slots: int) -> bool:
    """Say whether beams at a level have so few items below them that a tail may take them.

    It decides whether the program contains the tail at that level; whether it is taken depends on
    the beams. The number of items is a guess from the shape of the trie.
    """
    layout = index.segments[0].layout
    nodes = layout.levels[level - 1].edges
    return min(beams, nodes) * layout.rows <= slots * nodes


def tail_is_enough(below: RowsBelow, slots: int) -> Array:
    """Say whether the slots hold all rows of all requests."""
    return (below.total <= slots).all()


def score_rows(
    model: Any,
    cache: Any,
    index: TrieIndex,
    state: BeamState,
    parents: Int[Array, "B M"],
    below: RowsBelow,
    beams: int,
    beams_of: Int[Array, "B"] | None,
) -> BeamResult:
    """Score all rows below the beams in one pass of the model and answer the best.

    Where the search would not have pruned, the answer is the search's. Elsewhere it is better: the
    exact best items of all below the beams. Ties are ordered as the search orders them: at each
    level by score and then by beam and code, from the last level back.

    Args:
      model: a model with ``score_tail``.
      cache: the model's, of the readout that the beams' last codes were chosen from.
      index: the index.
      state: the beams.
      parents: the beam of the cache that each extends.
      below: their rows.
      beams: M, items to answer.
      beams_of: items of each request, at most M; None: M each.

    Returns:
      The items.
    """
    level = state.codes.shape[-1]
    slots = below.row.shape[1]
    prefix = take_beams(state.codes, below.beam)
    codes = jnp.zeros((*below.row.shape, index.depth - level), jnp.int32)
    for number, segment in enumerate(index.segments):
        own = segment.codes_of_rows(level, below.row)
        codes = jnp.where((below.segment == number)[..., None], own, codes)
    asked = jnp.where(below.valid[..., None], jnp.concatenate([prefix[..., -1:], codes], -1), 0)
    log_probs = model.score_tail(asked, take_beams(parents, below.beam), cache)
    log_probs = log_probs[..., 1:].astype(jnp.float32)
    whole = jnp.concatenate([prefix, codes], axis=-1)
    if index.end_code is not None:
        ended = whole[..., level - 1 : -1] == index.end_code
        if level == 1:
            ended = ended.at[..., 0].set(False)
        log_probs = jnp.where(ended, 0, log_probs)

    sums = [take_beams(state.scores, below.beam)]
    for offset in range(index.depth - level):  # in the order in which steps add
        sums.append(sums[-1] + log_probs[..., offset])
    valid = below.valid & (sums[-1] > -jnp.inf)
    by_level = [jnp.where(valid, -score, jnp.inf) for score in reversed(sums[1:])]
    slot = jnp.broadcast_to(jnp.arange(slots, dtype=jnp.int32), below.row.shape)
    # Stable: the slots are in the order of beam and codes already.
    order = jax.lax.sort((*by_level, slot), dimension=1, num_keys=len(by_level))[-1][:, :beams]
    missing = beams - order.shape[1]
    best: dict[str, Array] = {
        name: take_beams(values, order)
        for name, values in {"scores": sums[-1], "codes": whole, "valid": valid}.items()
    }
    ranked = jax.tree.map(lambda x: take_beams(x, order) if x.ndim > 1 else x, below)
    if missing > 0:
        best = {name: _lengthened(values, missing) for name, values in best.items()}
        ranked = jax.tree.map(lambda x: _lengthened(x, missing) if x.ndim > 1 else x, ranked)
    return result_of(index, ranked, beams_of=beams_of, **best)


def _lengthened(values: Array, missing: int) -> Array:
    return jnp.pad(values, ((0, 0), (0, missing), *[(0, 0)] * (values.ndim - 2)))
