"""Which codes may follow prefixes: masks for a search or a sampler that is not ours."""

import jax.numpy as jnp

from genret.decoding._beam_search import restrictions_of
from genret.decoding._restriction import Restriction
from genret.index import FilterStack, TrieIndex
from genret.index.segment import Segment
from genret.typing import Array, Bool, Int


def legal_codes(
    index: TrieIndex,
    prefixes: Int[Array, "B l"],
    *,
    filters: FilterStack | None = None,
    filter_of: Int[Array, "B"] | None = None,
) -> Bool[Array, "B V"]:
    """Say which codes may follow each prefix: those that lead to an allowed item.

    Has no state and no branches, so it goes into the ``jit`` of any sampling loop (pass the index
    as an argument); a row is looked up in time that does not depend on the number of items.

    Args:
      index: the items.
      prefixes: the codes so far, int32 [B, l], l < L. What is no prefix of an item has no
        successor.
      filters: sets of allowed items; None allows all that are not removed.
      filter_of: the filter of each row, int32 [B]; None takes the first.

    Returns:
      bool [B, V], V the codes of level l. Nothing follows an end code.

    >>> index = TrieIndex.from_codes([[3, 1], [0, 2], [3, 0]])
    >>> legal_codes(index, jnp.array([[3], [0], [1]])).astype(int).tolist()
    [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    """
    filters = index.allowed if filters is None else filters
    if filters is not None and filter_of is None:
        filter_of = jnp.zeros((prefixes.shape[0],), jnp.int32)
    restrictions = restrictions_of(index, filters, filter_of, None, None)
    legal = [
        _legal_in(segment, prefixes, restriction)
        for segment, restriction in zip(index.segments, restrictions, strict=True)
    ]
    found = legal[0]
    for more in legal[1:]:
        found |= more
    if index.end_code is not None and prefixes.shape[1]:
        found &= (prefixes != index.end_code).all(axis=1)[:, None]
    return found


def _legal_in(
    segment: Segment, prefixes: Int[Array, "B l"], restriction: Restriction | None
) -> Bool[Array, "B V"]:
    batch, length = prefixes.shape
    lo = jnp.zeros((batch,), jnp.int32)
    hi = jnp.broadcast_to(segment.num_rows, lo.shape)
    for level, codes in zip(segment.levels, prefixes.T, strict=False):
        edge, there = level.child(lo, hi, codes)
        begin, end = level.rows_of(edge, lo, hi)
        lo, hi = jnp.where(there, begin, 0), jnp.where(there, end, 0)
    level = segment.levels[length]
    first, last = level.edges_before(lo), level.edges_before(hi)
    edges = first[:, None] + jnp.arange(level.num_codes, dtype=jnp.int32)[None]
    there = edges < last[:, None]
    edges = jnp.where(there, edges, 0)
    if restriction is not None:
        low, high = (jnp.broadcast_to(bound[:, None], edges.shape) for bound in (lo, hi))
        begin, end = level.rows_of(edges, low, high)
        allowed = restriction.allowed_before(end) - restriction.allowed_before(begin)
        there &= allowed > 0
    codes = level.codes.at[edges].get(mode="clip").astype(jnp.int32)
    codes = jnp.where(there, codes, level.num_codes)  # dropped
    request = jnp.arange(batch)[:, None]
    return jnp.zeros((batch, level.num_codes), bool).at[request, codes].set(True, mode="drop")
