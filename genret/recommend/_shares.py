"""Weights of a dense head and of counted transitions: the lists of all of them from one search."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from genret.config import require
from genret.histories import Histories
from genret.index import TrieIndex
from genret.models import CodeScores, DenseHead, History, Transitions, capabilities_of
from genret.recommend._channels import parts_of
from genret.recommend._fusion import Channel, best_fused, competing
from genret.typing import Array, Float, Int


def lists_by_share(
    model: Any,
    index: TrieIndex,
    codes: Int[np.ndarray, "N L"],
    histories: Histories,
    shares: Sequence[tuple[float | None, float | None]],
    *,
    transitions: Transitions | None = None,
    max_items: int,
    k: int,
    beams: int,
    exclude_seen: bool,
    users_per_batch: int = 64,
) -> Int[np.ndarray, "S U K"]:
    """Recommend with each pair of weights of a model's dense head and of counted transitions.

    The items that compete do not depend on the weights, so they are searched and scored once. A
    weight of 0 also ranks what only that channel has found, as exact scores would.

    Args:
      model: the model.
      index: the trie of its items.
      codes: semantic ID of each item.
      histories: U histories, with times and users where the model reads them.
      shares: S times the weight of the dense head, which is None for a model without one, and that
        of the transitions, which is None without them; 0 to 1, see :class:`genret.Recommender`.
      transitions: the counts; their own ``share`` is not read.
      max_items: longest history that the model sees.
      k: K, ranks of the lists.
      beams: beams of each channel's search.
      exclude_seen: forbid the items of the histories.
      users_per_batch: histories in a batch.

    Returns:
      Item rows int32 [S, U, K], best first, -1 padded.

    Raises:
      GenretError: neither a dense head nor transitions, or other weights than these have.
    """
    can, one_code = capabilities_of(model), np.arange(len(codes), dtype=np.int32)[:, None]
    items = TrieIndex.from_codes(one_code)
    head = None
    if can.scores_codes:
        model, index = CodeScores.of(model, codes), items
    if can.dense_share is not None:
        head = DenseHead(model=model, codes=jnp.asarray(codes, jnp.int32))
    has = (head is not None, transitions is not None)
    require(
        any(has)
        and all((dense is not None, counted is not None) == has for dense, counted in shares),
        f"shares: found {tuple(shares[0])}, expected the weight of a dense head (found: {has[0]}) and "
        f"of transitions (found: {has[1]})",
    )
    weights = jnp.asarray([parts_of(*pair) for pair in shares], jnp.float32)
    seen = histories.distinct() if exclude_seen else None
    widest = 0 if seen is None else max(1, int(seen.lengths.max(initial=0)))
    search = jax.jit(functools.partial(_search, normalize=can.normalize, k=k, beams=beams))
    found = np.empty((len(shares), len(histories), k), np.int32)
    for start in range(0, len(histories), users_per_batch):
        stop = min(start + users_per_batch, len(histories))
        # The last batch asks for its last history again and again: one program serves all.
        rows = np.minimum(np.arange(start, start + users_per_batch), stop - 1)
        own = histories.take(rows)
        history = History.from_items(
            codes, own, max_items, time_buckets=can.time_buckets, user_buckets=can.user_buckets
        )
        counted = None
        if transitions is not None:
            counted = History.from_items(one_code, own, transitions.max_items)
        exclude = None if seen is None else jnp.asarray(seen.take(rows).padded(widest), jnp.int32)
        lists = search(model, head, transitions, index, items, history, counted, weights, exclude)
        found[:, start:stop] = np.asarray(lists)[:, : stop - start]
    return found


def _search(
    model: Any,
    head: DenseHead | None,
    transitions: Transitions | None,
    index: TrieIndex,
    items: TrieIndex,
    history: History,
    counted: History | None,
    weights: Float[Array, "S H"],
    exclude: Int[Array, "B X"] | None,
    *,
    normalize: str,
    k: int,
    beams: int,
) -> Int[Array, "S B K"]:
    """Search with all channels and rank by the weights of each row."""
    channels = [Channel(model=model, history=history, index=index, normalize=normalize)]
    if head is not None:
        channels.append(Channel(model=head, history=history, index=items))
    if transitions is not None:
        channels.append(Channel(model=transitions, history=counted, index=items))
    rows, scores = competing(channels, beams=beams, exclude=exclude)
    return lax.map(lambda each: best_fused(rows, scores, each, "product", k).items, weights)
