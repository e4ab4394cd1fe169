"""Which codes may follow prefixes: masks for a search or a sampler that is not ours."""

import jax.numpy as jnp

from genret.index.filter import FilterStack
from genret.index.live import LiveIndex
from genret.index.parts import Parts
from genret.index.restriction import AllowedRows
from genret.index.trie import Trie
from genret.index.trie_index import TrieIndex
from genret.typing import Array, Bool, Int


def legal_codes(
    index: TrieIndex | LiveIndex,
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
    if filter_of is None:
        filter_of = jnp.zeros((prefixes.shape[0],), jnp.int32)
    if isinstance(index, LiveIndex):
        filters = index.allowed if filters is None else filters
        found = _legal_in(index.whole_trie("legal_codes"), prefixes, filters.rows, filter_of)
        if index.inserted is not None:
            found |= _legal_in(index.inserted, prefixes, filters.inserted, filter_of)
    else:
        rows = None if filters is None else filters.rows
        found = _legal_in(index.whole_trie("legal_codes"), prefixes, rows, filter_of)
    if index.end_code is not None and prefixes.shape[1]:
        found &= (prefixes != index.end_code).all(axis=1)[:, None]
    return found


def _legal_in(
    trie: Trie,
    prefixes: Int[Array, "B l"],
    allowed: AllowedRows | Parts[AllowedRows] | None,
    filter_of: Int[Array, "B"],
) -> Bool[Array, "B V"]:
    assert not isinstance(allowed, Parts)
    restriction = trie.restricted(allowed, filter_of, None, None)
    batch, length = prefixes.shape
    lo = jnp.zeros((batch,), jnp.int32)
    hi = jnp.broadcast_to(trie.num_rows, lo.shape)
    for level, codes in zip(trie.levels, prefixes.T, strict=False):
        edge, there = level.child(lo, hi, codes)
        begin, end = level.rows_of(edge, lo, hi)
        lo, hi = jnp.where(there, begin, 0), jnp.where(there, end, 0)
    level = trie.levels[length]
    first, last = level.edges_before(lo), level.edges_before(hi)
    edges = first[:, None] + jnp.arange(level.num_codes, dtype=jnp.int32)[None]
    there = edges < last[:, None]
    edges = jnp.where(there, edges, 0)
    if restriction is not None:
        low, high = (jnp.broadcast_to(bound[:, None], edges.shape) for bound in (lo, hi))
        there &= restriction.holds_any(*level.rows_of(edges, low, high))
    codes = jnp.where(there, level.codes_at(edges), level.num_codes)  # dropped
    request = jnp.arange(batch, dtype=jnp.int32)[:, None]
    return jnp.zeros((batch, level.num_codes), bool).at[request, codes].set(True, mode="drop")
