"""Histories as a model reads them: codes of items, right-padded."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from genret.data import bucket_gaps, bucket_users
from genret.errors import GenretError
from genret.histories import Histories
from genret.models._features import SideFeatures
from genret.pytree import register_pytree
from genret.semantic_ids import SemanticIds
from genret.typing import Array, Int


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class History:
    """The codes of each request's items, oldest first, right-padded.

    Attributes:
      codes: int32 [B, T, L]; what lies after a history's end never matters.
      lengths: items of each history, int32 [B]; 0 is a request without a history.
      side: what a model may read beside the codes; its users are [B, 1].
    """

    codes: Int[Array, "B T L"]
    lengths: Int[Array, " B"]
    side: SideFeatures | None = None

    @classmethod
    def from_items(
        cls,
        codes: Any,
        histories: Histories | Iterable[Any],
        max_items: int,
        *,
        time_buckets: int = 0,
        user_buckets: int = 0,
    ) -> "History":
        """Look up the codes of histories that are given by item position, on the host.

        Args:
          codes: a :class:`SemanticIds`, or the codes of every item, int [N, L].
          histories: the histories, or lists of item positions, oldest first; a history of more than
            ``max_items`` keeps its newest ones.
          max_items: T; every history is padded to it, so that one program serves all.
          time_buckets: lay out the time before each event in so many buckets, for models that read
            it (their ``config.time_buckets``); without times all are unknown.
          user_buckets: likewise the bucket of each history's user (``config.user_buckets``).

        Returns:
          The histories of B requests.

        Raises:
          GenretError: an argument of the wrong shape or type, or an item without codes.

        >>> codes = [[0, 1], [2, 3], [4, 5]]
        >>> history = History.from_items(codes, [[2, 0, 1], []], max_items=2)
        >>> history.codes[0].tolist(), history.lengths.tolist()
        ([[0, 1], [2, 3]], [2, 0])
        """
        if max_items < 1:
            raise GenretError(f"max_items: found {max_items}, expected at least 1")
        table = codes.codes if isinstance(codes, SemanticIds) else _matrix(codes, "codes")
        if not isinstance(histories, Histories):
            histories = Histories.from_lists(histories)
        histories.check_items(len(table))
        rows = histories.padded(max_items)
        laid_out = np.where((rows >= 0)[..., None], table[rows], 0).astype(np.int32)
        gaps = users = None
        if time_buckets:
            gaps = jnp.asarray(histories.spread(bucket_gaps(histories, time_buckets), max_items))
        if user_buckets:
            users = jnp.asarray(bucket_users(histories, user_buckets)[:, None])
        return cls(
            codes=jnp.asarray(laid_out),
            lengths=jnp.asarray(np.minimum(histories.lengths, max_items), jnp.int32),
            side=SideFeatures(items=jnp.asarray(rows), gaps=gaps, users=users),
        )


def _matrix(values: Any, name: str) -> Int[np.ndarray, "N L"]:
    """Return integers of rank 2, or refuse them by name."""
    try:
        array = np.asarray(values)
    except ValueError as e:
        raise GenretError(f"{name}: found rows of unequal lengths, expected an array") from e
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise GenretError(
            f"{name}: found {array.dtype} of shape {array.shape}, expected integers of rank 2"
        )
    return array
