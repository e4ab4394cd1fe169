"""The best children of all beams of a request, whatever the kind of the level."""

import dataclasses

import jax
import jax.numpy as jnp
from genret_kernels.top_m import top_m

from genret.decoding.passes import Passes
from genret.decoding.readout import Draw, Scored, fitted, log_probs_to_scores, logsumexp
from genret.index.bits import WORD_BITS
from genret.index.levels import DenseLevel, Level, RaggedLevel, SlottedLevel
from genret.index.levels.base import take_slots
from genret.index.levels.dense import bits_of
from genret.index.nodes import NodeRange, take_beams
from genret.index.restriction import Restriction
from genret.pytree import register_pytree
from genret.typing import Array, Float, Int, UInt

BLOCK = 4 * WORD_BITS
"""Codes of a block: wide enough that most of the search for its best code fills vectors."""

FEW = 1 << 16
"""Codes of all beams of a batch up to which all of them compete at once: for so few, starting the
kernels of a choice by blocks takes longer than the choice."""


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidates:
    """The best candidates of a level, best first; padded.

    Attributes:
      scores: float32 [B, M], -inf for padding.
      keys: float32 [B, M], what they are ranked by, -inf for padding; None: by their scores.
      parents: int32 [B, M], the beam that each extends.
      codes: int32 [B, M], its code.
      nodes: where it stands.
    """

    scores: Float[Array, "B M"]
    keys: Float[Array, "B M"] | None
    parents: Int[Array, "B M"]
    codes: Int[Array, "B M"]
    nodes: NodeRange

    @property
    def order(self) -> Float[Array, "B M"]:
        """What the candidates are ranked by."""
        return self.scores if self.keys is None else self.keys


def best_children(
    level: Level,
    nodes: NodeRange,
    scored: Scored,
    restriction: Restriction | None,
    beams: int,
    draw: Draw | None,
) -> Candidates:
    """Choose the best children of all beams.

    Args:
      level: the level.
      nodes: where the beams stand.
      scored: the beams' scores and readouts.
      restriction: what the requests may not be answered; None forbids nothing.
      beams: children to choose.
      draw: the randomness of a sampling search; None: the best are chosen.

    Returns:
      The children; equal ones by beam and then by code.
    """
    keys = None
    if isinstance(level, RaggedLevel):
        passes = Passes.over(level, nodes, scored, restriction, beams)
        return best_of_passes(passes, nodes, beams, draw)
    if isinstance(level, DenseLevel) and draw is None and scored.normalizer is not None:
        words = level.legal_words(nodes, restriction)
        choose = best_of_few if words.size * WORD_BITS <= FEW else best_of_words
        scores, parents, slots = choose(words, scored, beams)
        codes, found = level.locate(nodes, None, parents, slots)
    else:
        assert isinstance(level, SlottedLevel)
        children = level.children(nodes, restriction)
        logits = scored.logits_of(children)
        scores, keys, parents, slots = _best_of_slots(scored, logits, beams, draw)
        codes, found = level.locate(nodes, children, parents, slots)
    return Candidates(scores=scores, keys=keys, parents=parents, codes=codes, nodes=found)


def best_of_passes(passes: Passes, nodes: NodeRange, beams: int, draw: Draw | None) -> Candidates:
    """Choose the best children of a ragged level; see :func:`best_children`."""
    scores, keys, parents, edges = passes.best(beams, draw)
    codes, found = passes.level.locate(nodes, parents, edges)
    return Candidates(
        scores=scores,
        keys=None if draw is None else keys,
        parents=parents,
        codes=codes,
        nodes=found,
    )


def normalizer_of(
    level: Level, nodes: NodeRange, scored: Scored, restriction: Restriction | None
) -> Float[Array, "B M"]:
    """Return the logsumexp of the logits of each beam's children; -inf: it has none."""
    if isinstance(level, RaggedLevel):
        return Passes.over(level, nodes, scored, restriction, 1).normalizer()
    assert isinstance(level, SlottedLevel)
    return logsumexp(scored.logits_of(level.children(nodes, restriction)))


def largest_drawn(
    level: Level,
    nodes: NodeRange,
    scored: Scored,
    restriction: Restriction | None,
    beams: int,
    draw: Draw,
) -> Float[Array, "B M"]:
    """Return ``max(g)`` of each beam, as :func:`best_children` draws; -inf: it has no child."""
    if isinstance(level, RaggedLevel):
        return Passes.over(level, nodes, scored, restriction, beams).largest(draw)
    assert isinstance(level, SlottedLevel)
    scores = _scores(scored, scored.logits_of(level.children(nodes, restriction)))
    return (scores + draw.noise(scores.shape[1:])).max(axis=-1)


def _best_of_slots(
    scored: Scored, logits: Float[Array, "B M K"], beams: int, draw: Draw | None
) -> tuple[
    Float[Array, "B M2"], Float[Array, "B M2"] | None, Int[Array, "B M2"], Int[Array, "B M2"]
]:
    """Return scores, keys (None without a draw), beams and slots of the best children."""
    scores = _scores(scored, logits)
    if draw is None:
        best, parents, slots = top_candidates(scores, beams)
        return best, None, parents, slots
    drawn = scores + draw.noise(scores.shape[1:])
    largest = drawn.max(axis=-1) if draw.largest is None else draw.largest
    keys = draw.condition(drawn, largest[..., None], draw.parents[..., None])
    keys, parents, slots = top_candidates(keys, beams)
    return take_slots(scores, parents, slots), keys, parents, slots


def _scores(scored: Scored, logits: Float[Array, "B M K"]) -> Float[Array, "B M K"]:
    normalizer = logsumexp(logits) if scored.normalizer is None else scored.normalizer
    return log_probs_to_scores(
        logits, scored.base[..., None], scored.per_beam(normalizer)[..., None]
    )


# The choice


def top_candidates(
    scores: Float[Array, "B M K"], beams: int
) -> tuple[Float[Array, "B beams"], Int[Array, "B beams"], Int[Array, "B beams"]]:
    """Choose the best candidates of each request, over all of its beams.

    The order is by score, descending; equal scores by beam and then by slot, ascending.

    Args:
      scores: float32, -inf for no candidate; no NaN.
      beams: how many to choose; may exceed M * K.

    Returns:
      The scores (float32, -inf where there were fewer candidates), and the beam and the slot of
      each (int32; of a missing candidate: arbitrary, but in range).

    >>> scores = jnp.array([[[-1.0, -3.0], [-2.0, -1.0]]])
    >>> [x.tolist() for x in top_candidates(scores, 3)]
    [[[-1.0, -1.0, -2.0]], [[0, 1, 1]], [[0, 1, 0]]]
    """
    batch, num_beams, slots = scores.shape
    best, where = top_k(scores.reshape(batch, num_beams * slots), beams)
    return best, where // slots, where % slots


def top_k(values: Float[Array, "B K"], k: int) -> tuple[Float[Array, "B k"], Int[Array, "B k"]]:
    """Return the largest values of each row and where they are; equal ones by place, ascending.

    Args:
      values: float32 without NaN.
      k: how many; may exceed K: then -inf, at the last place.
    """
    size = values.shape[1]
    if size < k:
        values = jnp.pad(values, ((0, 0), (0, k - size)), constant_values=-jnp.inf)
    best, where = top_m(values, k)
    return best, jnp.minimum(where, size - 1)


def best_of_few(
    words: UInt[Array, "B M W"], scored: Scored, beams: int
) -> tuple[Float[Array, "B M2"], Int[Array, "B M2"], Int[Array, "B M2"]]:
    """Return what :func:`best_of_words` does: all codes compete at once."""
    assert scored.normalizer is not None
    legal = bits_of(words).reshape(*words.shape[:2], -1)
    logits = jnp.where(legal, fitted(scored.logits, legal.shape[2]), -jnp.inf)
    base, normalizer = scored.per_beam(scored.base), scored.per_beam(scored.normalizer)
    return top_candidates(
        log_probs_to_scores(logits, base[..., None], normalizer[..., None]), beams
    )


def best_of_words(
    words: UInt[Array, "B M W"], scored: Scored, beams: int
) -> tuple[Float[Array, "B M2"], Int[Array, "B M2"], Int[Array, "B M2"]]:
    """Return scores, parents and codes of the best children, without a sort over all codes.

    The M best candidates lie in the M blocks whose own best candidates are best: each of these
    blocks has one that is no worse than any candidate of another block. With equal scores the
    candidate that comes first wins, and so does the block that comes first; so the blocks are
    searched in their order. The same holds for the groups of these blocks, one a word.

    Args:
      words: the codes of each beam that lead to an allowed item, as bits.
      scored: the beams' scores, readouts and normalizer.
      beams: children to choose.
    """
    assert scored.normalizer is not None
    batch, num_beams = words.shape[:2]
    num_blocks = -(-words.shape[2] * WORD_BITS // BLOCK)
    missing = num_blocks * BLOCK // WORD_BITS - words.shape[2]
    words = jnp.pad(words, ((0, 0), (0, 0), (0, missing)))
    logits = fitted(scored.logits, num_blocks * BLOCK)
    base, normalizer = scored.per_beam(scored.base), scored.per_beam(scored.normalizer)

    in_blocks = logits.reshape(*logits.shape[:2], num_blocks, BLOCK)
    legal = bits_of(words).reshape(batch, num_beams, num_blocks, BLOCK)
    largest = _largest(jnp.where(legal, in_blocks, -jnp.inf))
    largest = log_probs_to_scores(largest, base[..., None], normalizer[..., None])
    blocks = _places_of_best(largest.reshape(batch, -1), beams)

    beam, block = blocks // num_blocks, blocks % num_blocks
    base, normalizer = take_beams(base, beam)[..., None], take_beams(normalizer, beam)[..., None]
    words = take_beams(words.reshape(batch, num_beams * num_blocks, -1), blocks)
    if logits.shape[1] == 1:  # one readout for all beams
        found = take_beams(in_blocks[:, 0], block)
    else:
        found = take_beams(in_blocks.reshape(batch, -1, BLOCK), blocks)
    found = jnp.where(bits_of(words).reshape(found.shape), found, -jnp.inf)
    scores = log_probs_to_scores(found, base, normalizer).reshape(batch, -1, WORD_BITS)

    groups = _places_of_best(_largest(scores), beams)
    best, group, code = top_candidates(take_beams(scores, groups), beams)
    group = take_beams(groups, group)  # of those in the chosen blocks
    within = group % words.shape[2] * WORD_BITS + code
    of_block = group // words.shape[2]
    return best, take_beams(beam, of_block), take_beams(block, of_block) * BLOCK + within


def _largest(values: Float[Array, "*shape K"]) -> Float[Array, "*shape"]:
    """Return the largest values over the last axis, a power of two."""
    # Halves, and not a reduction: XLA then fuses what makes the values and never stores them. From
    # vectors of 16 on a fusion would make them anew for each half.
    while values.shape[-1] > 1:
        half = values.shape[-1] // 2
        values = jnp.maximum(values[..., :half], values[..., half:])
        if half == 16:
            values = jax.lax.optimization_barrier(values)
    return values[..., 0]


def _places_of_best(values: Float[Array, "B K"], most: int) -> Int[Array, "B K2"]:
    """Return the places of the largest values, in ascending order."""
    batch, size = values.shape
    if size <= most:
        return jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), (batch, size))
    return jnp.sort(top_k(values, most)[1], axis=1)
