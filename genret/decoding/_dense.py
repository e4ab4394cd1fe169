"""A step at a dense level: the logits are masked as they are, and searched in groups."""

import jax
import jax.numpy as jnp

from genret.decoding._ranking import Draw, best_children
from genret.decoding._readout import Scored
from genret.decoding._restriction import Restriction
from genret.decoding._state import Candidates, NodeRange, take_beams
from genret.decoding._topk import top_candidates, top_k
from genret.index.bits import low_bits
from genret.index.segment import Segment
from genret.typing import Array, Bool, Float, Int, UInt

GROUP = 32
"""Codes of a group: those of one word of the mask."""

BLOCK = 4 * GROUP
"""Codes of a block: wide enough that most of the search for its best code fills vectors."""


def dense_children(
    segment: Segment,
    level: int,
    place: NodeRange,
    scored: Scored,
    restriction: Restriction | None,
) -> Float[Array, "B M K"]:
    """Return a logit for each code of each beam, -inf where it is not legal; K is V or a few more."""
    words = _legal(segment, level, place, restriction)
    legal = _bits(words).reshape(*words.shape[:2], -1)
    return jnp.where(legal, _fitted(scored.logits, legal.shape[-1]), -jnp.inf)


def _legal(
    segment: Segment, level: int, place: NodeRange, restriction: Restriction | None
) -> UInt[Array, "B M W"]:
    """Return the codes of each beam that lead to an allowed row, as bits."""
    if restriction is None:
        words = segment.levels[level].masks.at[place.nodes].get(mode="clip")
    else:
        words = restriction.masks(segment, level, place)
    return jnp.where((place.lo < place.hi)[..., None], words, 0)


def dense_step(
    segment: Segment,
    level: int,
    place: NodeRange,
    scored: Scored,
    restriction: Restriction | None,
    beams: int,
    draw: Draw | None,
) -> Candidates:
    """Choose the best children of all beams at a level with a mask for each node.

    Args:
      segment: the segment.
      level: the level, a dense one.
      place: where the beams stand.
      scored: the beams' scores and readouts.
      restriction: what the requests may not be answered; None forbids nothing.
      beams: M, children to choose.
      draw: the randomness of a sampling search; None: the best are chosen.

    Returns:
      The children.
    """
    stored = segment.levels[level]
    own = stored.masks.at[place.nodes].get(mode="clip")
    if draw is None and scored.normalizer is not None:
        words = _legal(segment, level, place, restriction)
        scores, parents, codes = _best_of_groups(words, scored, beams)
        keys = None
    else:
        logits = dense_children(segment, level, place, scored, restriction)
        scores, keys, parents, codes = best_children(scored, logits, beams, draw)

    # The children of a node are numbered by their codes.
    first = stored.edges_before(take_beams(place.lo, parents))
    below = jnp.arange(own.shape[-1], dtype=jnp.int32)[None, None] * GROUP
    before = take_beams(own, parents) & low_bits(codes[..., None] - below)
    edges = first + jax.lax.population_count(before).astype(jnp.int32).sum(axis=-1)
    begin, end = stored.rows_of(edges, take_beams(place.lo, parents), take_beams(place.hi, parents))
    return Candidates(
        scores=scores,
        keys=keys,
        parents=parents,
        codes=codes,
        place=NodeRange(nodes=edges, lo=begin, hi=end),
    )


def _best_of_groups(
    words: UInt[Array, "B M W"], scored: Scored, beams: int
) -> tuple[Array, Array, Array]:
    """Return scores, parents and codes of the best children, without a sort over all of them.

    The M best candidates lie in the M blocks whose own best candidates are best: each of these
    blocks has one that is no worse than any candidate of another block. With equal scores the
    candidate that comes first wins, and so does the block that comes first; so the blocks are
    searched in their order. The same holds for the groups of these blocks.
    """
    batch, num_beams = words.shape[:2]
    num_blocks = -(-words.shape[2] * GROUP // BLOCK)
    words = jnp.pad(words, ((0, 0), (0, 0), (0, num_blocks * BLOCK // GROUP - words.shape[2])))
    logits = _fitted(scored.logits, num_blocks * BLOCK)
    base, normalizer = scored.per_beam(scored.base), scored.per_beam(scored.normalizer)

    in_blocks = logits.reshape(*logits.shape[:2], num_blocks, BLOCK)
    legal = _bits(words).reshape(batch, num_beams, num_blocks, BLOCK)
    largest = _largest(jnp.where(legal, in_blocks, -jnp.inf))
    largest = _score(largest, base[..., None], normalizer[..., None])
    blocks = _places_of_best(largest.reshape(batch, -1), beams)

    beam, block = blocks // num_blocks, blocks % num_blocks
    base, normalizer = take_beams(base, beam)[..., None], take_beams(normalizer, beam)[..., None]
    words = take_beams(words.reshape(batch, num_beams * num_blocks, -1), blocks)
    if logits.shape[1] == 1:  # one readout for all beams
        found = take_beams(in_blocks[:, 0], block)
    else:
        found = take_beams(in_blocks.reshape(batch, -1, BLOCK), blocks)
    found = jnp.where(_bits(words).reshape(found.shape), found, -jnp.inf)
    scores = _score(found, base, normalizer).reshape(batch, -1, GROUP)

    groups = _places_of_best(_largest(scores), beams)
    best, group, code = top_candidates(take_beams(scores, groups), beams)
    group = take_beams(groups, group)  # of those in the chosen blocks
    within = group % words.shape[2] * GROUP + code
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


def _score(logits: Array, base: Array, normalizer: Array) -> Array:
    scores = base + (logits - normalizer)
    return jnp.where(scores > -jnp.inf, scores, -jnp.inf)  # NaN cannot win a place


def _bits(words: UInt[Array, "*shape"]) -> Bool[Array, "*shape 32"]:
    bit = jnp.uint32(1) << jnp.arange(GROUP, dtype=jnp.uint32).reshape(*[1] * words.ndim, GROUP)
    return (words[..., None] & bit) != 0


def _fitted(logits: Float[Array, "B M V"], size: int) -> Float[Array, "B M size"]:
    """Cut or pad the logits to the bits of the masks; what is past the codes has bit 0."""
    if logits.shape[-1] >= size:
        return logits[..., :size]
    return jnp.pad(logits, ((0, 0), (0, 0), (0, size - logits.shape[-1])))
