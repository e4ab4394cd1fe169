"""Recommendations of a model for many histories, in batches of few compiled shapes."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import numpy as np

from genret.config import ModelConfig, require
from genret.decoding import (
    GenerativeModel,
    beam_search,
    exact_search,
)
from genret.histories import Histories
from genret.index import FilterStack, ItemFilter, TrieIndex
from genret.models import History
from genret.typing import Float, Int

_EXACT_BYTES = 1 << 28
"""Logits of a level that an exact search holds at a time; its other arrays are about as large."""


@dataclasses.dataclass(frozen=True)
class RecommendResult:
    """Ranked lists.

    Attributes:
      items: item rows, best first, int32 [U, K]; ``-1`` where fewer than K items are legal.
      scores: log-probabilities, float32 [U, K]; ``-inf`` in padded places.
    """

    items: Int[np.ndarray, "U K"]
    scores: Float[np.ndarray, "U K"]


def recommend(
    model: GenerativeModel,
    codes: Int[np.ndarray, "N L"],
    index: TrieIndex,
    histories: Histories,
    *,
    k: int,
    beams: int,
    max_items: int,
    exact: bool = False,
    exclude_seen: bool = True,
    filters: Sequence[ItemFilter] | FilterStack | None = None,
    batch_size: int = 128,
    progress: Callable[..., object] | None = None,
) -> RecommendResult:
    """Recommend k items to each user by constrained beam search, or by scoring every item.

    The model sees the newest ``max_items`` items of a history; the items of the *whole* history
    are excluded. The last batch is filled up with empty histories, and the lists of excluded
    items are padded to powers of four, so that few programs are compiled.

    Args:
      model: a trained model.
      codes: semantic ID of each item.
      index: the trie made from ``codes``.
      histories: the histories; with times and users for models that read them.
      k: length of the lists.
      beams: beams of the search, at least k.
      exact: score every item instead of searching with beams, in batches that fit the memory: for
        catalogs of some ten thousand items, and to see what the beams miss.
      max_items: longest history that the model sees.
      exclude_seen: forbid the items of the user's own history, inside the beam.
      filters: one filter that every user's answers obey, as in :func:`beam_search`.
      batch_size: users in a batch.
      progress: called with the number of users after each batch.

    Returns:
      The lists.

    Raises:
      GenretError: fewer beams than k, a number that is not positive, or codes of another number
        of items than the index has.
    """
    for name, value in (("k", k), ("max_items", max_items), ("batch_size", batch_size)):
        require(value >= 1, f"{name}: found {value}, expected at least 1")
    require(
        len(codes) == index.num_items,
        f"codes: found {len(codes)} items, expected {index.num_items} as in the index",
    )
    require(exact or beams >= k, f"beams: found {beams}, expected at least k, {k}")
    num_users = len(histories)
    architecture = getattr(model, "config", ModelConfig())
    batch_size = min(batch_size, max(num_users, 1))
    if exact:
        logits = 4 * max(index.num_nodes) * max(index.codes_per_level)  # bytes of a request
        batch_size = min(batch_size, max(1, _EXACT_BYTES // logits))
    found_items = np.full((num_users, k), -1, np.int32)
    found_scores = np.full((num_users, k), -np.inf, np.float32)
    for start in range(0, num_users, batch_size):
        stop = min(start + batch_size, num_users)
        # The last batch is filled up with empty histories.
        own = histories.slice(start, stop).filled_up(batch_size)
        history = History.from_items(
            codes, own, max_items,
            time_buckets=architecture.time_buckets, user_buckets=architecture.user_buckets,
        )  # fmt: skip
        exclude = None
        if exclude_seen:
            exclude = own.exclusions()
        if exact:
            result = exact_search(
                model, history, index, top=k, exclude=exclude, filters=filters,
                normalize=architecture.normalize,
            )  # fmt: skip
        else:
            result = beam_search(
                model, history, index, beams=beams, exclude=exclude, filters=filters,
                normalize=architecture.normalize,
            )  # fmt: skip
        top = jax.device_get((result.items[:, :k], result.scores[:, :k]))
        found_items[start:stop], found_scores[start:stop] = (part[: stop - start] for part in top)
        if progress is not None:
            progress(stop - start)
    return RecommendResult(found_items, found_scores)
