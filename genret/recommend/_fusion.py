"""Several searches of the same items, fused item by item: two heads of a model, or several models."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from genret.decoding import BeamResult, beam_search, exact_search, score_items
from genret.decoding.arguments import DataAxis, Integers
from genret.decoding.candidates import top_k
from genret.errors import GenretError
from genret.index import FilterStack, LiveIndex, TrieIndex
from genret.index.nodes import take_beams
from genret.pytree import register_pytree
from genret.typing import Array, Float, Int

FUSE = ("product", "mixture")
"""How the scores of an item are fused."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Channel:
    """One of the searches that are fused.

    All channels have the same items at the same positions; their codes, their models and what the
    models read may differ.

    Attributes:
      model: any pytree with the methods of :class:`genret.decoding.GenerativeModel`.
      history: what its ``prefill`` takes for a batch of B requests.
      index: the items, by the codes that the model spells.
      filters: the sets of allowed items, of this index; None allows all.
      normalize: as in :func:`beam_search`.
    """

    model: Any
    history: Any
    index: TrieIndex | LiveIndex
    filters: FilterStack | None = None
    normalize: str = "level"


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Prefilled:
    """A model that has read the histories of a batch already.

    Attributes:
      model: the model.
      readout: what its ``prefill`` returned: the readout of level 0,
      cache: and the cache.
    """

    model: Any
    readout: Any
    cache: Any

    def prefill(self, history: Any) -> tuple[Any, Any]:
        """Return what the model made of the histories; see :class:`GenerativeModel`."""
        return self.readout, self.cache

    def step(
        self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: Any
    ) -> tuple[Any, Any]:
        """Ask the model; see :class:`GenerativeModel`."""
        return self.model.step(codes, parents, cache)


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Fused:
    """The best items of each request by their fused scores; padded.

    Attributes:
      items: int32 [B, K], item positions, best first; padding: -1.
      scores: float32 [B, K]; padding: -inf.
    """

    items: Int[Array, "B K"]
    scores: Float[Array, "B K"]


def fused_search(
    channels: Sequence[Channel],
    weights: Float[Array, "H"],
    *,
    k: int,
    beams: int,
    fuse: str = "product",
    filter_of: Integers | None = None,
    exclude: Integers | None = None,
    exact: bool = False,
) -> Fused:
    r"""Search in every channel, score whatever one of them found in all, and rank by the fused scores.

    With :math:`s_h(i)` the log-probability of item i in channel h and :math:`w_h` the weights, the
    fused score is a weighted product of the probabilities or their mixture:

    .. math:: \sum_h w_h s_h(i) \qquad\text{or}\qquad \log \sum_h w_h e^{s_h(i)}

    Every channel's best items compete, whatever the others think of them; each is scored exactly
    in all channels, so the answer is that of all items as soon as it is among those found.

    Source of the mixture: BARGE, arXiv 2607.21028, 2026 (several code sets).

    Args:
      channels: H searches.
      weights: float32 [H], at least 0.
      k: K, ranks of the answer.
      beams: M, beams of each search, so at most H M items compete.
      fuse: "product" or "mixture".
      filter_of: as in :func:`beam_search`, for all channels.
      exclude: as in :func:`beam_search`, for all channels.
      exact: score every item in every channel; for small catalogs.

    Returns:
      The items; equal scores by position.

    Raises:
      GenretError: fewer than two channels, other weights than one a channel, an unknown way to fuse, or as
        :func:`beam_search`.
    """
    if len(channels) < 2 or weights.shape != (len(channels),):
        raise GenretError(
            f"weights: found {weights.shape} for {len(channels)} channels, expected one for each of "
            "at least 2"
        )
    check_fuse(fuse)
    items, by_item = competing(
        channels, beams=beams, filter_of=filter_of, exclude=exclude, exact=exact
    )
    return best_fused(items, by_item, weights, fuse, k)


def competing(
    channels: Sequence[Channel],
    *,
    beams: int,
    filter_of: Integers | None = None,
    exclude: Integers | None = None,
    exact: bool = False,
) -> tuple[Int[Array, "B C"], Float[Array, "H B C"]]:
    """Return the items that a channel finds, and their scores in every channel.

    Whatever the weights of the channels are, these are the items that they rank.

    Args:
      channels: H searches.
      beams: as in :func:`fused_search`.
      filter_of: as in :func:`beam_search`, for all channels.
      exclude: as in :func:`beam_search`, for all channels.
      exact: all items.

    Returns:
      Item positions, padded with -1, in ascending order but for the padding; and log-probabilities.
    """

    def limits(channel: Channel) -> dict[str, Any]:
        of = None if channel.filters is None else filter_of
        own = {"filters": channel.filters, "filter_of": of, "exclude": exclude}
        return own | {"normalize": channel.normalize}

    if exact:
        size = channels[0].index.num_items
        by_item = [
            _by_position(
                exact_search(each.model, each.history, each.index, top=size, **limits(each)), size
            )
            for each in channels
        ]
        items = jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), by_item[0].shape)
        return items, jnp.stack(by_item)
    # XLA does not see that a search and the scoring after it read the same histories.
    channels = [_prefilled(each) for each in channels]
    found = [
        beam_search(each.model, each.history, each.index, beams=beams, **limits(each))
        for each in channels
    ]
    items = jnp.concatenate([each.items for each in found], axis=1)
    by_item = []
    for own, each in enumerate(channels):
        # What a channel has found has a score already.
        others = jnp.concatenate([x.items for n, x in enumerate(found) if n != own], axis=1)
        more = score_items(each.model, each.history, each.index, others, **limits(each))
        parts = [more[:, : own * beams], found[own].scores, more[:, own * beams :]]
        by_item.append(jnp.concatenate(parts, axis=1))
    order, items = distinct(items)
    return items, jnp.stack([take_beams(scores, order) for scores in by_item])


def best_fused(
    items: Int[Array, "B C"],
    by_item: Float[Array, "H B C"],
    weights: Float[Array, "H"],
    fuse: str,
    k: int,
) -> Fused:
    """Rank competing items by their fused scores.

    Args:
      items: see :func:`competing`.
      by_item: see :func:`competing`.
      weights: of the channels.
      fuse: "product" or "mixture".
      k: K, ranks of the answer.
    """
    scores = fused_scores(by_item, weights, fuse)
    best, place = top_k(jnp.where(items < 0, -jnp.inf, scores), k)
    return Fused(items=jnp.where(best > -jnp.inf, take_beams(items, place), -1), scores=best)


def fused_scores(
    scores: Float[Array, "H B C"], weights: Float[Array, "H"], fuse: str
) -> Float[Array, "B C"]:
    """Fuse the scores of items; one that a channel of positive weight forbids or excludes is out.

    >>> import numpy as np
    >>> scores = jnp.log(jnp.array([[[0.5, 0.2]], [[0.1, 0.0]]]))
    >>> np.exp(fused_scores(scores, jnp.array([0.5, 0.5]), "mixture"), dtype=float).round(3).tolist()
    [[0.3, 0.1]]
    >>> np.exp(fused_scores(scores, jnp.array([1.0, 0.0]), "product"), dtype=float).round(3).tolist()
    [[0.5, 0.2]]
    """
    each = weights[:, None, None]
    if fuse == "mixture":
        return jax.nn.logsumexp(scores + jnp.log(each), axis=0)
    return jnp.where(each > 0, each * scores, 0).sum(axis=0)


def check_fuse(fuse: object) -> None:
    """Refuse what is no way to fuse."""
    if fuse not in FUSE:
        raise GenretError(f"fuse: found {fuse!r}, expected one of {', '.join(FUSE)}")


def distinct(items: Int[Array, "B C"]) -> tuple[Int[Array, "B C"], Int[Array, "B C"]]:
    """Return the order that sorts items, and the items in it with repetitions replaced by -1.

    >>> [found.tolist() for found in distinct(jnp.array([[3, -1, 3, 0]]))]
    [[[1, 3, 0, 2]], [[-1, 0, 3, -1]]]
    """
    order = jnp.argsort(items, axis=1, stable=True).astype(jnp.int32)
    ascending = take_beams(items, order)
    before = jnp.pad(ascending[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    return order, jnp.where(ascending == before, -1, ascending)


def _prefilled(channel: Channel) -> Channel:
    """Return the channel with histories that are read; as it is where devices share them."""
    shared = DataAxis.of(channel.history, None, channel.index) is not None
    if shared or isinstance(channel.model, Prefilled):
        return channel
    readout, cache = channel.model.prefill(channel.history)
    model = Prefilled(model=channel.model, readout=readout, cache=cache)
    return dataclasses.replace(channel, model=model)


def _by_position(found: BeamResult, size: int) -> Float[Array, "B N"]:
    """Return the score of every item by its position; -inf: it was not answered."""
    scores = jnp.full((found.items.shape[0], size), -jnp.inf, jnp.float32)
    request = jnp.arange(found.items.shape[0], dtype=jnp.int32)[:, None]
    where = jnp.where(found.valid, found.items, size)
    return scores.at[request, where].set(found.scores, mode="drop")
