"""Weights of a dense head: the lists of all of them from one search."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.histories import Histories
from genret.index import TrieIndex
from genret.models import DenseHead, History, capabilities_of
from genret.recommend._fusion import Channel, best_fused, competing
from genret.typing import Array, Float, Int


def lists_by_share(
    model: Any,
    index: TrieIndex,
    codes: Int[np.ndarray, "N L"],
    histories: Histories,
    shares: Sequence[float],
    *,
    max_items: int,
    k: int,
    beams: int,
    exclude_seen: bool,
    users_per_batch: int = 64,
) -> Int[np.ndarray, "S U K"]:
    """Recommend with each weight of a model's dense head.

    The items that compete do not depend on the weight, so they are searched and scored once. A
    weight of 0 also ranks what only the dense head has found, as exact scores would.

    Args:
      model: a model with a dense head.
      index: the trie of its items.
      codes: semantic ID of each item.
      histories: U histories, with times and users where the model reads them.
      shares: S weights of the dense head, 0 to 1.
      max_items: longest history that the model sees.
      k: K, ranks of the lists.
      beams: beams of each head's search.
      exclude_seen: forbid the items of the histories.
      users_per_batch: histories in a batch.

    Returns:
      Item rows int32 [S, U, K], best first, -1 padded.
    """
    can = capabilities_of(model)
    items = TrieIndex.from_codes(np.arange(len(codes), dtype=np.int32)[:, None])
    head = DenseHead(model=model, codes=jnp.asarray(codes, jnp.int32))
    weights = jnp.asarray([[1 - share, share] for share in shares], jnp.float32)
    seen = histories.distinct() if exclude_seen else None
    widest = 0 if seen is None else max(1, int(seen.lengths.max(initial=0)))
    search = jax.jit(functools.partial(_search, normalize=can.normalize, k=k, beams=beams))
    found = np.empty((len(shares), len(histories), k), np.int32)
    for start in range(0, len(histories), users_per_batch):
        stop = min(start + users_per_batch, len(histories))
        # The last batch asks for its last history again and again: one program serves all.
        rows = np.minimum(np.arange(start, start + users_per_batch), stop - 1)
        history = History.from_items(
            codes,
            histories.take(rows),
            max_items,
            time_buckets=can.time_buckets,
            user_buckets=can.user_buckets,
        )
        exclude = None if seen is None else jnp.asarray(seen.take(rows).padded(widest), jnp.int32)
        lists = search(model, head, index, items, history, weights, exclude)
        found[:, start:stop] = np.asarray(lists)[:, : stop - start]
    return found


def _search(
    model: Any,
    head: DenseHead,
    index: TrieIndex,
    items: TrieIndex,
    history: History,
    weights: Float[Array, "S 2"],
    exclude: Int[Array, "B X"] | None,
    *,
    normalize: str,
    k: int,
    beams: int,
) -> Int[Array, "S B K"]:
    """Search with both heads and rank by each pair of weights."""
    channels = [
        Channel(model=model, history=history, index=index, normalize=normalize),
        Channel(model=head, history=history, index=items),
    ]
    rows, scores = competing(channels, beams=beams, exclude=exclude)
    return jnp.stack([best_fused(rows, scores, each, "product", k).items for each in weights])
