"""Recommenders whose searches are fused: their parts as one decoder, its filters and weights."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from genret.config import require
from genret.index import FilterStack, ItemFilter, LiveIndex, TrieIndex
from genret.models import Capabilities, CodeScores, Transitions, capabilities_of
from genret.recommend._decode import Decoder, Searcher, item_vectors
from genret.recommend._fusion import check_fuse
from genret.typing import Float


def fused(
    own: Searcher,
    dense_share: float | None,
    transitions: Transitions | None,
    others: Sequence[Decoder],
    weights: Sequence[float],
    fuse: str,
) -> Decoder:
    """Return the decoder that fuses a searcher with other decoders of the same items.

    Args:
      own: the first searcher.
      dense_share: weight of its model's dense head beside its codes; None: it has no such head.
      transitions: counts that are fused with its model; None: there are none.
      others: the decoders.
      weights: of the model and each of the decoders.
      fuse: how scores are fused.

    Raises:
      GenretError: decoders of another number of items, or with other ids; counts of more items; no
        way to fuse.
    """
    check_fuse(fuse)
    size, searchers = own.index.num_items, [own]
    share = transitions.share if transitions is not None else 0.0
    one_code = np.arange(size, dtype=np.int32)[:, None]
    # What weighs nothing is not searched.
    items = TrieIndex.from_codes(one_code) if dense_share or share else None
    if capabilities_of(own.model).scores_codes:
        scores = CodeScores.of(own.model, own.codes)
        named = TrieIndex.from_codes(one_code, item_ids=own.index.item_ids)
        searchers = [dataclasses.replace(own, model=scores, index=named, normalize="level")]
    if dense_share:
        vectors = item_vectors(own.model, own.codes)
        searchers.append(
            dataclasses.replace(own, model=None, vectors=vectors, index=items, normalize="level")
        )
    if transitions is not None and share:
        counts, codes = transitions.with_items(size), jnp.asarray(one_code)
        searchers.append(
            Searcher(model=counts, index=items, codes=codes, max_items=counts.max_items)
        )
    parts = parts_of(dense_share or None, share or None)
    shares = [weights[0] * part for part in parts]
    for number, (other, weight) in enumerate(zip(others, weights[1:], strict=True)):
        items = other.searchers[0].index
        found, wanted = items.item_ids, own.index.item_ids
        require(
            items.num_items == size
            and (found is None or wanted is None or np.array_equal(found, wanted)),
            f"channels[{number}]: found other items ({items.num_items}), or another order, than "
            f"in the index ({size}), expected the same",
        )
        searchers += other.searchers
        shares += (weight * np.asarray(other.weights)).tolist()
    weighed = jnp.asarray(shares, jnp.float32)
    decoder = Decoder(searchers=tuple(searchers), weights=weighed, fuse=fuse)
    return decoder.with_filters(filters_of(decoder, own.index, ()))


def filters_of(
    decoder: Decoder, index: TrieIndex | LiveIndex, filters: Sequence[ItemFilter]
) -> list[FilterStack | None]:
    """Return for each searcher the filters that users choose from; the last one allows every item.

    What is removed from the index, no searcher may answer.

    Args:
      decoder: the searchers, not yet placed on devices.
      index: the items; that of the first searcher, unless it scores items by the sum of their codes.
      filters: of this index.
    """
    rest, found = list(decoder.searchers), list[FilterStack | None]()
    if not isinstance(rest[0].model, CodeScores):
        rest, found = rest[1:], [None]
        if filters:
            everything = ItemFilter.from_mask(index, np.ones(index.num_items, bool))
            found = [FilterStack.of(index, [*filters, everything])]
    if not rest:
        return found
    alive = np.zeros(index.num_items, bool)
    alive[index.items_below(())] = True
    if not filters and alive.all():
        return found + [None] * len(rest)
    masks = [one.mask(alive.size) & alive for one in filters] + [alive]
    return found + [FilterStack.of_masks(one.index, masks) for one in rest]


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

    >>> shares_of(None, 2), shares_of([3.0, 1.0], 2)
    ([0.5, 0.5], [0.75, 0.25])
    """
    found: Float[np.ndarray, "H"] = np.asarray([1] * count if weights is None else weights, float)
    require(
        found.shape == (count,)
        and bool(np.isfinite(found).all() and (found >= 0).all() and found.sum() > 0),
        f"weights: found {found.tolist()}, expected {count} numbers, none below 0, not all 0",
    )
    return (found / found.sum()).tolist()


def parts_of(dense: float | None, transitions: float | None) -> list[float]:
    """Return the weights of what a model is ranked by: codes, dense head, counted transitions.

    Args:
      dense: weight of the dense head beside the codes; None: there is no such head.
      transitions: weight of the counts beside the model; None: there are none.

    >>> parts_of(0.5, 0.2), parts_of(None, 0.25), parts_of(None, None)
    ([0.4, 0.4, 0.2], [0.75, 0.25], [1.0])
    """
    own = 1.0 - (transitions or 0.0)
    parts = [own] if dense is None else [own * (1 - dense), own * dense]
    return parts if transitions is None else [*parts, transitions]


def chosen_share(asked: float | None, trained: float | None) -> float | None:
    """Return the weight of a model's dense head: as asked for, or as trained; None: it has none.

    Raises:
      GenretError: a weight for a model without such a head, or one that is no share.
    """
    if asked is None:
        return trained
    require(trained is not None, f"dense_share: found {asked} for a model without a dense head")
    require(0 <= asked <= 1, f"dense_share: found {asked}, expected 0 to 1")
    return asked
