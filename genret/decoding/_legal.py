"""Which codes may follow prefixes: masks for a search or a sampler that is not ours."""

import jax.numpy as jnp

from genret.decoding._beam_search import restrictions_of
from genret.decoding._restriction import Restriction
from genret.index import PolicyStack, TrieIndex
from genret.index.segment import Level, Segment
from genret.typing import Array, Bool, Int


def legal_codes(
    index: TrieIndex,
    prefixes: Int[Array, "B l"],
    *,
    policies: PolicyStack | None = None,
    policy_of: Int[Array, "B"] | None = None,
) -> Bool[Array, "B V"]:
    """Say which codes may follow each prefix: those that lead to an allowed item.

    Has no state and no branches, so it goes into the ``jit`` of any sampling loop (pass the index
    as an argument); a row is looked up in time that does not depend on the number of items.

    Args:
      index: the items.
      prefixes: the codes so far, int32 [B, l], l < L. What is no prefix of an item has no
        successor.
      policies: sets of allowed items; None allows all that are not removed.
      policy_of: the policy of each row, int32 [B]; None takes the first.

    Returns:
      bool [B, V], V the codes of level l. Nothing follows an end code.

    >>> index = TrieIndex.from_codes([[3, 1], [0, 2], [3, 0]])
    >>> legal_codes(index, jnp.array([[3], [0], [1]])).astype(int).tolist()
    [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    """
    policies = index.allowed if policies is None else policies
    if policies is not None and policy_of is None:
        policy_of = jnp.zeros((prefixes.shape[0],), jnp.int32)
    restrictions = restrictions_of(index, policies, policy_of, None, None)
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
    for number in range(length):
        lo, hi = _child(segment.levels[number], lo, hi, prefixes[:, number])
    level = segment.levels[length]
    first, last = _edges(level, lo, hi)
    edges = first[:, None] + jnp.arange(level.num_codes, dtype=jnp.int32)[None]
    there = edges < last[:, None]
    edges = jnp.where(there, edges, 0)
    if restriction is not None:
        rows = (jnp.broadcast_to(bound[:, None], edges.shape) for bound in (lo, hi))
        low, high = rows
        begin, end = level.first_row(edges, low, high), level.first_row(edges + 1, low, high)
        allowed = restriction.allowed_before(end) - restriction.allowed_before(begin)
        there &= allowed > 0
    codes = level.codes.at[edges].get(mode="clip").astype(jnp.int32)
    codes = jnp.where(there, codes, level.num_codes)  # dropped
    request = jnp.arange(batch)[:, None]
    return jnp.zeros((batch, level.num_codes), bool).at[request, codes].set(True, mode="drop")


def _edges(
    level: Level, lo: Int[Array, " B"], hi: Int[Array, " B"]
) -> tuple[Int[Array, " B"], Int[Array, " B"]]:
    """Return the first edge of the nodes with these rows and the one after their last."""
    there = lo < hi
    first = level.edge_of_row(lo)
    last = level.edge_of_row(jnp.where(there, hi - 1, 0)) + 1
    return jnp.where(there, first, 0), jnp.where(there, last, 0)


def _child(
    level: Level, lo: Int[Array, " B"], hi: Int[Array, " B"], code: Int[Array, " B"]
) -> tuple[Int[Array, " B"], Int[Array, " B"]]:
    """Return the rows below the child with a code; none where there is no such child."""
    first, last = _edges(level, lo, hi)
    low, high = first, last
    for _ in range(level.num_codes.bit_length()):  # bisect: codes ascend within a node
        middle = (low + high) // 2
        before = level.codes.at[middle].get(mode="clip").astype(jnp.int32) < code
        low, high = (
            jnp.where(before & (low < high), middle + 1, low),
            jnp.where(before, high, middle),
        )
    found = (low < last) & (level.codes.at[low].get(mode="clip").astype(jnp.int32) == code)
    edge = jnp.where(found, low, 0)
    begin, end = level.first_row(edge, lo, hi), level.first_row(edge + 1, lo, hi)
    return jnp.where(found, begin, 0), jnp.where(found, end, 0)
