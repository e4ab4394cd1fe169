"""Recommenders whose searches are fused: their parts as one decoder, its filters and weights."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from genret.config import require
from genret.decoding import Channel, check_fuse, exact_search, fused_search
from genret.index import FilterStack, ItemFilter
from genret.models import Capabilities
from genret.recommend._decode import Decoder, Searcher
from genret.typing import Float, Int


def fused(own: Searcher, others: Sequence[Decoder], weights: Sequence[float], fuse: str) -> Decoder:
    """Return the decoder that fuses a searcher with other decoders of the same items.

    Args:
      own: the first searcher.
      others: the decoders.
      weights: of the searcher and each of the decoders.
      fuse: how scores are fused.

    Raises:
      GenretError: decoders of another number of items, or with other ids; no way to fuse.
    """
    check_fuse(fuse)
    size = own.index.num_items
    searchers, shares = [own], [weights[0]]
    for number, (other, weight) in enumerate(zip(others, weights[1:], strict=True)):
        index = other.searchers[0].index
        found, wanted = index.item_ids, own.index.item_ids
        require(
            index.num_items == size
            and (found is None or wanted is None or np.array_equal(found, wanted)),
            f"channels[{number}]: found other items ({index.num_items}), or another order, than "
            f"in the index ({size}), expected the same",
        )
        searchers += other.searchers
        shares += (weight * np.asarray(other.weights)).tolist()
    weighed = jnp.asarray(shares, jnp.float32)
    decoder = Decoder(searchers=tuple(searchers), weights=weighed, fuse=fuse)
    return decoder.with_filters(filters_of(decoder, ()))


def filters_of(decoder: Decoder, filters: Sequence[ItemFilter]) -> list[FilterStack | None]:
    """Return for each searcher the filters that users choose from; the last one allows every item.

    What is removed from the first searcher's index, no other searcher may answer.

    Args:
      decoder: the searchers, not yet placed on devices.
      filters: of the first searcher's index.
    """
    first, *rest = decoder.searchers
    found: list[FilterStack | None] = [None]
    if filters:
        everything = ItemFilter.from_mask(first.index, np.ones(first.index.num_items, bool))
        found = [FilterStack.of(first.index, [*filters, everything])]
    if not rest:
        return found
    alive = np.zeros(first.index.num_items, bool)
    alive[first.index.items_below(())] = True
    if not filters and alive.all():
        return found + [None] * len(rest)
    masks = [one.mask(alive.size) & alive for one in filters] + [alive]
    return found + [FilterStack.of_masks(one.index, masks) for one in rest]


def search_all(
    channels: Sequence[Channel],
    decoder: Decoder,
    *,
    k: int,
    exclude: Int[np.ndarray, "B X"] | None,
    filter_of: Int[np.ndarray, "B"] | None,
) -> tuple[Any, Any]:
    """Return the k best items of each user and their scores, of all items scored in all channels."""
    if len(channels) > 1:
        fused = fused_search(
            channels, decoder.weights,
            k=k, beams=k, fuse=decoder.fuse, filter_of=filter_of, exclude=exclude, exact=True,
        )  # fmt: skip
        return fused.items, fused.scores
    (one,) = channels
    found = exact_search(
        one.model, one.history, one.index,
        top=k, filters=one.filters, filter_of=filter_of, exclude=exclude, normalize=one.normalize,
    )  # fmt: skip
    return found.items, found.scores


def joint(name: str, readers: Sequence[Capabilities]) -> int:
    """Return the number of buckets that all models read that read any; 0: none does.

    Raises:
      GenretError: they read different numbers of buckets.
    """
    counts = sorted({getattr(one, name) for one in readers} - {0})
    require(len(counts) <= 1, f"channels: found {name} of {counts}, expected one number for all")
    return counts[0] if counts else 0


def shares_of(weights: Sequence[float] | None, count: int) -> list[float]:
    """Return weights that add up to 1; None: all are equal.

    Raises:
      GenretError: another number of weights, or some that are no shares.

    >>> shares_of(None, 2), shares_of([3, 1], 2)
    ([0.5, 0.5], [0.75, 0.25])
    """
    found: Float[np.ndarray, "H"] = np.asarray([1] * count if weights is None else weights, float)
    require(
        found.shape == (count,)
        and bool(np.isfinite(found).all() and (found >= 0).all() and found.sum() > 0),
        f"weights: found {found.tolist()}, expected {count} numbers, none below 0, not all 0",
    )
    return (found / found.sum()).tolist()
