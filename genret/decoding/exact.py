"""Exact scores: of every item of a small catalog, of which none is pruned, or of items that are given."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from genret.decoding.arguments import Filters, Integers, Limits, check_count, check_normalize
from genret.decoding.beams import BeamResult, N, OneTrie, Searched
from genret.decoding.candidates import top_k
from genret.decoding.live import tries_of
from genret.decoding.protocol import Cache, GenerativeModel, History
from genret.decoding.readout import Readout, Scored, check_readout
from genret.errors import GenretError
from genret.index import LiveIndex, TrieIndex
from genret.index.live import RowOfItem
from genret.index.nodes import take_beams
from genret.index.restriction import Restriction
from genret.index.trie import Trie
from genret.pytree import register_pytree
from genret.typing import Array, Float, Int


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class LevelEdges:
    """All edges of a level.

    Attributes:
      codes: int32 [E].
      parents: int32 [E], the node that each leaves.
      first_rows: int32 [E + 1], the first row of each, then the number of rows.
    """

    codes: Int[Array, "E"]
    parents: Int[Array, "E"]
    first_rows: Int[Array, "E1"]


def exact_search(
    model: GenerativeModel,
    history: History,
    index: TrieIndex | LiveIndex,
    *,
    top: int,
    filters: Filters | None = None,
    filter_of: Integers | None = None,
    exclude: Integers | None = None,
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
    check_count("top", top)
    check_normalize(normalize)
    limits = Limits.of(index, filters=filters, filter_of=filter_of, exclude=exclude)
    edges = [_edges(index.whole_trie("exact_search"))]
    if isinstance(index, LiveIndex) and index.inserted is not None:
        more = _edges(index.inserted)
        edges += [more] if more else []  # room for inserted items, and none
    if normalize != "level" and len(edges) > 1:
        raise GenretError(
            f"normalize: found {normalize!r}, expected 'level' with inserted items: compact() them "
            "first"
        )
    return _exact(model, history, index, edges, limits, top=top, normalize=normalize)


@functools.partial(jax.jit, static_argnames=("top", "normalize"))
def _exact(
    model: GenerativeModel[Cache],
    history: History,
    index: TrieIndex | LiveIndex,
    edges: list[list[LevelEdges]],
    limits: Limits,
    *,
    top: int,
    normalize: str,
) -> BeamResult:
    readout, cache = model.prefill(history)
    searched = limits.searched(index, readout.shape[0])
    found = []
    for part, own in zip(tries_of(searched), edges, strict=False):
        among = part.restriction if normalize == "legal" else None
        walked = _walk(model, readout, cache, index, own, among, normalize)
        found.append(_best_rows(part, *walked, top, index.end_code))
    return found[0] if len(found) == 1 else _joined(found, top)


def _walk(
    model: GenerativeModel[Cache],
    readout: Readout,
    cache: Cache,
    index: TrieIndex | LiveIndex,
    edges: list[LevelEdges],
    restriction: Restriction | None,
    normalize: str,
) -> tuple[Float[Array, "B S"], Int[Array, "S L"]]:
    """Return the score and the codes of each leaf of a trie.

    Scores that are not normalized over the level are so over the siblings that ``restriction``
    allows.
    """
    batch = readout.shape[0]
    scores = jnp.zeros((batch, 1), jnp.float32)
    spelled = jnp.zeros((1, 0), jnp.int32)
    for level, stored in enumerate(edges):
        codes, parents = stored.codes, stored.parents
        check_readout(readout, level, index.codes_per_level[level])
        ended = None
        if index.end_code is not None and level > 0:
            ended = jnp.broadcast_to((spelled[:, -1] == index.end_code)[None], scores.shape)
        scored = Scored.of(readout, scores, ended, normalize)
        parents_of = jnp.broadcast_to(parents[None], (batch, parents.size))
        asked = jnp.broadcast_to(codes[None], parents_of.shape)
        every = dataclasses.replace(scored, readout=scored.logits)
        logits = every.logits_of_beams(parents_of, asked)
        if normalize == "level":
            assert scored.normalizer is not None
            log_probs = logits - scored.per_beam(scored.normalizer)[:, parents]
        else:
            log_probs = _over_siblings(logits, parents, stored.first_rows, restriction)
        scores = scores[:, parents] + log_probs
        spelled = jnp.concatenate([spelled[parents], codes[:, None]], axis=1)
        if level < index.depth - 1:
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
        before = restriction.allowed_before(rows)
        allowed = before[:, 1:] > before[:, :-1]
        logits = jnp.where(allowed, logits, -jnp.inf)
    nodes = jnp.full(logits.shape, -jnp.inf, jnp.float32)  # at least as many edges as nodes
    largest = nodes.at[:, parents].max(logits)
    shift = jnp.where(largest == -jnp.inf, 0, largest)[:, parents]
    total = jnp.zeros_like(nodes).at[:, parents].add(jnp.exp(logits - shift))[:, parents]
    return jnp.where(total > 0, logits - shift - jnp.log(total), -jnp.inf)


def _best_rows(
    part: OneTrie,
    scores: Float[Array, "B S"],
    spelled: Int[Array, "S L"],
    top: int,
    end_code: int | None,
) -> BeamResult:
    """Return the best rows of a trie whose leaves have the given scores and codes."""
    rows = jnp.arange(part.layout.rows, dtype=jnp.int32)
    leaves = part.trie.levels[-1].edge_of_row(rows)
    by_row = jnp.where((rows < part.trie.num_rows)[None], scores[:, leaves], -jnp.inf)
    if part.restriction is not None:
        every = jnp.broadcast_to(rows[None], by_row.shape)
        by_row = jnp.where(part.restriction.holds_any(every, every + 1), by_row, -jnp.inf)
    by_row = jnp.where(by_row > -jnp.inf, by_row, -jnp.inf)  # NaN cannot win a rank
    best, row = top_k(by_row, top)
    items, codes = part.trie.position_of(row), spelled[leaves[row]]
    return BeamResult.of(items, best, codes, best > -jnp.inf, end_code)


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


def _edges(trie: Trie) -> list[LevelEdges]:
    """Return the edges of a trie, level by level; none of a trie without rows."""
    num_rows = int(trie.num_rows)
    if num_rows == 0:
        return []
    above = np.arange(num_rows) == 0
    found = []
    for level in trie.levels:
        starts = level.starts_on_host(num_rows)
        first_rows = np.flatnonzero(starts)
        nodes = np.cumsum(above)[first_rows] - 1
        codes = np.asarray(level.codes)[: first_rows.size]
        found.append(
            LevelEdges(
                codes=jnp.asarray(codes, jnp.int32),
                parents=jnp.asarray(nodes, jnp.int32),
                first_rows=jnp.asarray(np.append(first_rows, num_rows), jnp.int32),
            )
        )
        above = starts
    return found


def score_items(
    model: GenerativeModel,
    history: History,
    index: TrieIndex | LiveIndex,
    items: Int[Array, "B C"],
    *,
    filters: Filters | None = None,
    filter_of: Integers | None = None,
    exclude: Integers | None = None,
    normalize: str = "level",
) -> Float[Array, "B C"]:
    """Score some items of each request: the model spells their codes, and nothing is pruned.

    Args:
      model: any pytree with the methods of :class:`GenerativeModel`.
      history: what the model's ``prefill`` takes for a batch of B requests.
      index: the items.
      items: int32 [B, C], item positions, in any order; -1 is padding.
      filters: as in :func:`beam_search`.
      filter_of: as in :func:`beam_search`.
      exclude: as in :func:`beam_search`.
      normalize: as in :func:`beam_search`.

    Returns:
      Float32 [B, C]: the score that :func:`beam_search` gives an item that it answers; -inf for
      padding and for what a request may not be answered.

    Raises:
      GenretError: as :func:`beam_search`; an index in parts.

    >>> from genret.testing import TableModel
    >>> index = TrieIndex.from_codes([[0, 1], [0, 2], [3, 1]])
    >>> model, asked = TableModel.random((4, 3), seed=0), jnp.array([[2, -1, 0]])
    >>> scores = score_items(model, jnp.array([7]), index, asked, exclude=[[0]])
    >>> np.asarray(scores, float).round(2).tolist()
    [[-6.4, -inf, -inf]]
    """
    check_normalize(normalize)
    index.whole_trie("score_items")  # of an index in parts no device could look all items up
    index.whole_trie("score_items")  # refuses one in parts
    limits = Limits.of(index, filters=filters, filter_of=filter_of, exclude=exclude)
    return _score(model, history, index, items, limits, index.row_of_item, normalize=normalize)


@functools.partial(jax.jit, static_argnames=("normalize",))
def _score(
    model: GenerativeModel[Cache],
    history: History,
    index: TrieIndex | LiveIndex,
    items: Int[Array, "B C"],
    limits: Limits,
    row_of_item: RowOfItem,
    *,
    normalize: str,
) -> Float[Array, "B C"]:
    readout, cache = model.prefill(history)
    batch, count = items.shape
    searched = limits.searched(index, batch)
    rows, allowed = searched.rows_of(items, row_of_item)
    codes = searched.codes_of(0, rows)
    nodes = searched.at_root(batch)
    scores = jnp.zeros((batch, 1), jnp.float32)
    parents = jnp.zeros((batch, count), jnp.int32)
    for level in range(index.depth):
        check_readout(readout, level, index.codes_per_level[level])
        own = codes[..., level]
        ended = None
        if index.end_code is not None and level > 0:
            ended = codes[..., level - 1] == index.end_code
        scored = Scored.of(readout, scores, ended, normalize)
        total = scored.normalizer
        if total is None:
            among = searched.unrestricted() if normalize == "catalog" else searched
            total = _over_children(among, level, nodes, scored, codes[..., :level])
        else:
            total = scored.per_beam(total)
        log_probs = scored.logits_of_beams(parents, own) - take_beams(total, parents)
        scores = take_beams(scores, parents) + log_probs
        if level < index.depth - 1:
            nodes = searched.descend(level, nodes, parents, own)
            readout, cache = model.step(own, parents, cache)
            parents = jnp.broadcast_to(jnp.arange(count, dtype=jnp.int32), (batch, count))
    return jnp.where(allowed & (scores > -jnp.inf), scores, -jnp.inf)


def _over_children(
    searched: Searched[N], level: int, nodes: N, scored: Scored, prefixes: Int[Array, "B C level"]
) -> Float[Array, "B M"]:
    """Return the logsumexp of the logits of each beam's children, where several may stand at a node.

    A search never has two beams at a node, and what is excluded is looked for in one of them.
    """
    if level == 0:
        return searched.normalizer(level, nodes, scored)
    same = (prefixes[:, :, None] == prefixes[:, None]).all(axis=-1)
    first = jnp.argmax(same, axis=-1).astype(jnp.int32)
    alone = first == jnp.arange(first.shape[1], dtype=jnp.int32)[None]
    total = searched.normalizer(level, searched.where(alone, nodes), scored)
    return take_beams(total, first)
