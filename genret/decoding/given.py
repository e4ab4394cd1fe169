"""Scores of items that are given: what a search would give them, whether or not it finds them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from genret.decoding.arguments import Filters, Integers, Limits, check_normalize
from genret.decoding.beams import OneTrie, Searched
from genret.decoding.protocol import Cache, GenerativeModel, History
from genret.decoding.readout import Scored, check_readout
from genret.index import LiveIndex, TrieIndex
from genret.index.nodes import take_beams
from genret.typing import Array, Float, Int


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
      GenretError: as :func:`beam_search`.

    >>> from genret.testing import TableModel
    >>> index = TrieIndex.from_codes([[0, 1], [0, 2], [3, 1]])
    >>> model, asked = TableModel.random((4, 3), seed=0), jnp.array([[2, -1, 0]])
    >>> score_items(model, jnp.array([7]), index, asked, exclude=[[0]]).round(2).tolist()
    [[-1.7300000190734863, -inf, -inf]]
    """
    check_normalize(normalize)
    index.whole_trie("score_items")  # of an index in parts no device could look all items up
    limits = Limits.of(index, filters=filters, filter_of=filter_of, exclude=exclude)
    return _score(model, history, index, items, limits, index.row_of_item, normalize=normalize)


@functools.partial(jax.jit, static_argnames=("normalize",))
def _score(
    model: GenerativeModel[Cache],
    history: History,
    index: TrieIndex | LiveIndex,
    items: Int[Array, "B C"],
    limits: Limits,
    row_of_item: Array | tuple[Array | None, Array | None] | None,
    *,
    normalize: str,
) -> Float[Array, "B C"]:
    readout, cache = model.prefill(history)
    batch, count = items.shape
    searched = limits.searched(index, batch)
    if isinstance(searched, OneTrie) and isinstance(row_of_item, tuple):
        row_of_item, _ = row_of_item  # nothing was inserted into a live index
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
    searched: Searched, level: int, nodes: Any, scored: Scored, prefixes: Int[Array, "B C level"]
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
