"""Every item scored for every user, in batches that fit the memory."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from genret.decoding import exact_search
from genret.histories import Histories
from genret.index import FilterStack, TrieIndex
from genret.models import History
from genret.recommend._decode import Decoder, Searcher
from genret.recommend._fusion import fused_search
from genret.recommend._memory import exact_batch
from genret.typing import Float, Int


def score_all(
    decoder: Decoder,
    histories: Histories,
    k: int,
    *,
    exclude_seen: bool,
    filters: Sequence[FilterStack | None] | None,
    filter_of: Int[np.ndarray, "U"] | None,
    time_buckets: int,
    user_buckets: int,
    users_per_batch: int,
    progress: Callable[[int], object] | None,
) -> tuple[Int[np.ndarray, "U k"], Float[np.ndarray, "U k"]]:
    """Return the best of all items for each user.

    Args:
      decoder: what is searched, on the host's device.
      histories: the users.
      k: how many items each.
      exclude_seen: forbid the items of a user's own history.
      filters: for each searcher the filters that users choose from, the last one allows every item;
        None: there are none.
      filter_of: the number of each user's filter, -1: the last one; None: the first one.
      time_buckets: buckets of times that a model reads.
      user_buckets: buckets of users that a model reads.
      users_per_batch: users that are scored at once; 0 chooses.
      progress: called with the number of users after each batch.

    Returns:
      The items, padded with -1, and their scores, padded with -inf.
    """
    users, index = len(histories), decoder.searchers[0].index
    nodes = max(index.num_nodes) if isinstance(index, TrieIndex) else index.num_items
    batch = exact_batch(nodes, max(index.codes_per_level), users_per_batch, users)
    if filters is not None:
        decoder = decoder.with_filters(filters)
        numbers = np.zeros(users, np.int32) if filter_of is None else filter_of
        last = decoder.filters.size - 1
        filter_of = np.where(numbers < 0, last, numbers).astype(np.int32)
    items = np.full((users, k), -1, np.int32)
    scores = np.full((users, k), -np.inf, np.float32)
    read = functools.partial(_history, time_buckets=time_buckets, user_buckets=user_buckets)
    for start in range(0, users, batch):
        stop = min(start + batch, users)
        # The last batch is filled up with empty histories: one program serves all.
        own = histories.slice(start, stop).filled_up(batch)
        limits: dict[str, Any] = {
            "exclude": own.exclusions() if exclude_seen else None,
            "filter_of": None if filter_of is None else np.resize(filter_of[start:stop], batch),
        }
        channels = decoder.channels(functools.partial(read, own))
        found: Any
        if len(channels) > 1:
            found = fused_search(
                channels, decoder.weights, k=k, beams=k, fuse=decoder.fuse, exact=True, **limits
            )
        else:
            (one,) = channels
            found = exact_search(
                one.model, one.history, one.index,
                top=k, filters=one.filters, normalize=one.normalize, **limits,
            )  # fmt: skip
        top = jax.device_get((found.items, found.scores))
        items[start:stop], scores[start:stop] = (part[: stop - start] for part in top)
        if progress is not None:
            progress(stop - start)
    return items, scores


def _history(own: Histories, one: Searcher, *, time_buckets: int, user_buckets: int) -> History:
    """Return what a searcher reads of histories."""
    return History.from_items(
        np.asarray(one.codes), own, one.max_items,
        time_buckets=time_buckets, user_buckets=user_buckets,
    )  # fmt: skip
