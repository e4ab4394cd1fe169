"""Exact search: every item of a small catalog is scored, and none is pruned."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.decoding._beam_search import (
    check_batch,
    check_normalize,
    checked_restriction,
    restrictions_of,
)
from genret.decoding._protocol import GenerativeModel
from genret.decoding._readout import Scored, check_readout
from genret.decoding._restriction import Restriction
from genret.decoding._state import BeamResult, take_beams
from genret.decoding._topk import top_k
from genret.errors import GenretError
from genret.index import FilterStack, TrieIndex
from genret.index.segment import Segment
from genret.typing import Array, Float, Int

Edges = tuple[Array, Array, Array]
"""Code, node and first row of each edge of a level; the rows have the end of the last one behind."""


def exact_search(
    model: GenerativeModel,
    history: Any,
    index: TrieIndex,
    *,
    top: int,
    filters: Any = None,
    filter_of: Any = None,
    exclude: Any = None,
    normalize: str = "level",
) -> BeamResult:
    """Score all items and answer the best: what a beam search with enough beams would find.

    Walks the whole trie level by level, all of its nodes as beams, so items share the work of their
    common codes. Memory grows with B N V: it is for catalogs of some ten thousand items, and to
    measure what a beam search misses.

    Args:
      model: any pytree with the methods of :class:`GenerativeModel`.
      history: what the model's ``prefill`` takes for a batch of B requests.
      index: the items.
      top: M, ranks of the answer; may exceed the number of items.
      filters: as in :func:`beam_search`.
      filter_of: as in :func:`beam_search`.
      exclude: as in :func:`beam_search`.
      normalize: as in :func:`beam_search`.

    Returns:
      The items, best first; equal scores by semantic ID, then by position.

    Raises:
      GenretError: as :func:`beam_search`; "catalog" or "legal" with inserted items that are not compacted.

    >>> from genret.testing import TableModel
    >>> index = TrieIndex.from_codes([[0, 1], [0, 2], [3, 1]])
    >>> exact_search(TableModel.random((4, 3), seed=0), jnp.array([7]), index, top=3).items.tolist()
    [[0, 1, 2]]
    """
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise GenretError(f"top: found {top!r}, expected an integer of at least 1")
    check_normalize(normalize)
    arguments = checked_restriction(index, filters, filter_of, exclude)
    edges = tuple(_edges(segment) for segment in index.segments)
    if not any(edges[1:]):  # room for inserted items, and none
        edges = edges[:1]
    if normalize != "level" and len(edges) > 1:
        raise GenretError(
            f"normalize: found {normalize!r}, expected 'level' with inserted items: compact() them "
            "first"
        )
    return _exact(model, history, index, edges, *arguments, top=top, normalize=normalize)


@functools.partial(jax.jit, static_argnames=("top", "normalize"))
def _exact(
    model: GenerativeModel,
    history: Any,
    index: TrieIndex,
    edges: tuple[list[Edges], ...],
    filters: FilterStack | None,
    filter_of: Int[Array, "B"] | None,
    exclude: Int[Array, "B X"] | None,
    rows_of_items: tuple[Any, ...] | None,
    *,
    top: int,
    normalize: str,
) -> BeamResult:
    readout, cache = model.prefill(history)
    batch = readout.shape[0]
    check_batch(batch, filter_of=filter_of, exclude=exclude)
    if filters is not None and filter_of is None:
        filter_of = jnp.zeros((batch,), jnp.int32)
    restrictions = restrictions_of(index, filters, filter_of, exclude, rows_of_items)
    found = [
        _best_rows(
            index,
            segment,
            *_walk(model, readout, cache, index, own, restriction, normalize),
            restriction,
            top,
        )
        for segment, own, restriction in zip(index.segments, edges, restrictions, strict=False)
    ]
    return found[0] if len(found) == 1 else _joined(found, top)


def _walk(
    model: GenerativeModel,
    readout: Any,
    cache: Any,
    index: TrieIndex,
    edges: list[Edges],
    restriction: Restriction | None,
    normalize: str,
) -> tuple[Float[Array, "B S"], Int[Array, "S L"]]:
    """Return the score and the codes of each leaf of a trie."""
    batch = readout.shape[0]
    scores = jnp.zeros((batch, 1), jnp.float32)
    spelled = jnp.zeros((1, 0), jnp.int32)
    for level, (codes, parents, first_rows) in enumerate(edges):
        check_readout(readout, level, index.codes_per_level[level])
        ended = None
        if index.end_code is not None and level > 0:
            ended = jnp.broadcast_to((spelled[:, -1] == index.end_code)[None], scores.shape)
        scored = Scored.of(readout, scores, ended, normalize)
        parents_of = jnp.broadcast_to(parents[None], (batch, parents.size))
        request = jnp.arange(batch)[:, None]
        beam = jnp.minimum(parents_of, readout.shape[1] - 1)  # one readout may stand for all
        logits = scored.logits.at[request, beam, codes[None]].get(mode="clip")
        if normalize == "level":
            log_probs = logits - scored.per_beam(scored.normalizer)[:, parents]
        else:
            among = restriction if normalize == "legal" else None
            log_probs = _over_siblings(logits, parents, first_rows, among)
        scores = scores[:, parents] + log_probs
        spelled = jnp.concatenate([spelled[parents], codes[:, None]], axis=1)
        if level < index.depth - 1:
            asked = jnp.broadcast_to(codes[None], parents_of.shape)
            readout, cache = model.step(asked, parents_of, cache)
    return scores, spelled


def _over_siblings(
    logits: Float[Array, "B E"],
    parents: Int[Array, " E"],
    first_rows: Int[Array, " E1"],
    restriction: Restriction | None,
) -> Float[Array, "B E"]:
    """Return log-probabilities of the edges, among those of their node that lead to an allowed item."""
    if restriction is not None:
        rows = jnp.broadcast_to(first_rows[None], (logits.shape[0], first_rows.size))
        allowed = jnp.diff(restriction.allowed_before(rows), axis=1) > 0
        logits = jnp.where(allowed, logits, -jnp.inf)
    nodes = jnp.full(logits.shape, -jnp.inf)  # at least as many edges as nodes
    largest = nodes.at[:, parents].max(logits)
    shift = jnp.where(largest == -jnp.inf, 0, largest)[:, parents]
    total = jnp.zeros_like(nodes).at[:, parents].add(jnp.exp(logits - shift))[:, parents]
    return jnp.where(total > 0, logits - shift - jnp.log(total), -jnp.inf)


def _best_rows(
    index: TrieIndex,
    segment: Segment,
    scores: Array,
    spelled: Int[Array, "S L"],
    restriction: Restriction | None,
    top: int,
) -> BeamResult:
    rows = jnp.arange(segment.layout.rows, dtype=jnp.int32)
    leaves = segment.levels[-1].edge_of_row(rows)
    by_row = jnp.where((rows < segment.num_rows)[None], scores[:, leaves], -jnp.inf)
    if restriction is not None:
        every = jnp.broadcast_to(rows[None], by_row.shape)
        before, after = restriction.allowed_before(every), restriction.allowed_before(every + 1)
        by_row = jnp.where(after > before, by_row, -jnp.inf)
    by_row = jnp.where(by_row > -jnp.inf, by_row, -jnp.inf)  # NaN cannot win a rank
    best, row = top_k(by_row, top)
    valid = best > -jnp.inf
    codes = spelled[leaves[row]]
    shown = jnp.broadcast_to(valid[..., None], codes.shape)
    if index.end_code is not None:
        is_end = codes == index.end_code
        shown &= jnp.cumsum(is_end, axis=-1) - is_end == 0
    return BeamResult(
        items=jnp.where(valid, segment.position_of(row), -1),
        scores=best,
        codes=jnp.where(shown, codes, -1),
        valid=valid,
    )


def _joined(found: list[BeamResult], top: int) -> BeamResult:
    """Return the best of the answers of several tries."""
    scores, items, codes = (
        jnp.concatenate([getattr(each, name) for each in found], axis=1)
        for name in ("scores", "items", "codes")
    )
    keys = (-scores, *jnp.moveaxis(codes, -1, 0), items)
    place = jnp.broadcast_to(jnp.arange(scores.shape[1], dtype=jnp.int32), scores.shape)
    order = jax.lax.sort((*keys, place), dimension=1, num_keys=len(keys))[-1][:, :top]
    scores = take_beams(scores, order)
    return BeamResult(
        items=take_beams(items, order),
        scores=scores,
        codes=take_beams(codes, order),
        valid=scores > -jnp.inf,
    )


def _edges(segment: Segment) -> list[Edges]:
    """Return code, node and first row of each edge (and the last's end), level by level."""
    num_rows = int(segment.num_rows)
    if num_rows == 0:
        return []
    above = np.arange(num_rows) == 0
    found = []
    for level in segment.levels:
        starts = level.starts_on_host(num_rows)
        first_rows = np.flatnonzero(starts)
        nodes = np.cumsum(above)[first_rows] - 1
        codes = np.asarray(level.codes)[: first_rows.size].astype(np.int32)
        rows = np.append(first_rows, num_rows).astype(np.int32)
        found.append((jnp.asarray(codes), jnp.asarray(nodes, jnp.int32), jnp.asarray(rows)))
        above = starts
    return found
