"""Histories as a model reads them: codes of items, right-padded."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from genret.errors import GenretError
from genret.models._features import SideFeatures
from genret.pytree import register_pytree
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
        codes_table: Any,
        offsets: Any,
        items: Any,
        max_items: int,
        *,
        gaps: Any = None,
        users: Any = None,
    ) -> "History":
        """Look up the codes of histories that are given by item number, on the host.

        Args:
          codes_table: codes of every item, int [N, L].
          offsets: history b is ``items[offsets[b]:offsets[b + 1]]``, int [B + 1].
          items: rows of ``codes_table``, int [E].
          max_items: T; a longer history keeps its last ``max_items`` items.
          gaps: bucket of the time before each of ``items``, from
            :func:`genret.data.gap_buckets`; for models that read it.
          users: bucket of each history's user, int [B], from :func:`genret.data.user_buckets`;
            for models that read it.

        Returns:
          The histories, padded to ``max_items`` whatever their lengths: one shape, one program.

        Raises:
          GenretError: an argument of the wrong shape or type, or an item that is no row.

        >>> codes = [[0, 1], [2, 3], [4, 5]]
        >>> history = History.from_items(codes, [0, 3, 3], [2, 0, 1], max_items=2)
        >>> history.codes[0].tolist(), history.lengths.tolist()
        ([[0, 1], [2, 3]], [2, 0])
        """
        codes_table = _integers(codes_table, "codes_table", 2)
        offsets = _integers(offsets, "offsets", 1)
        items = _integers(items, "items", 1)
        if max_items < 1:
            raise GenretError(f"max_items: found {max_items}, expected at least 1")
        if (
            len(offsets) == 0
            or offsets[0] != 0
            or offsets[-1] != len(items)
            or (np.diff(offsets) < 0).any()
        ):
            raise GenretError(
                f"offsets: expected rising numbers from 0 to the number of items, {len(items)}"
            )
        outside = np.flatnonzero((items < 0) | (items >= len(codes_table)))
        if len(outside):
            raise GenretError(
                f"items: entry {outside[0]} is {items[outside[0]]}, expected 0 to "
                f"{len(codes_table) - 1}, the rows of codes_table"
            )
        lengths = np.minimum(np.diff(offsets), max_items)
        starts = offsets[1:] - lengths
        slots = np.arange(max_items)
        present = slots[None, :] < lengths[:, None]
        codes = np.zeros((len(lengths), max_items, codes_table.shape[1]), np.int32)
        events = (starts[:, None] + slots[None, :])[present]
        codes[present] = codes_table[items[events]]
        rows = np.full(present.shape, -1, np.int32)
        rows[present] = items[events]
        side = SideFeatures(
            items=jnp.asarray(rows),
            gaps=None if gaps is None else _spread(gaps, "gaps", len(items), present, events),
            users=None if users is None else _column(users, "users", len(lengths)),
        )
        return cls(codes=jnp.asarray(codes), lengths=jnp.asarray(lengths, jnp.int32), side=side)


def _spread(values: Any, name: str, size: int, present: Any, events: Any) -> Array:
    """Lay out what belongs to each event, like the histories."""
    values = _sized(values, name, size)
    laid_out = np.zeros(present.shape, np.int32)
    laid_out[present] = values[events]
    return jnp.asarray(laid_out)


def _column(values: Any, name: str, size: int) -> Array:
    return jnp.asarray(_sized(values, name, size)[:, None], jnp.int32)


def _sized(values: Any, name: str, size: int) -> np.ndarray:
    values = _integers(values, name, 1)
    if len(values) != size:
        raise GenretError(f"{name}: found {len(values)}, expected {size}")
    return values


def _integers(values: Any, name: str, ndim: int) -> np.ndarray:
    """Return an integer array of the given rank, or refuse by name."""
    try:
        array = np.asarray(values)
    except ValueError as e:
        raise GenretError(f"{name}: found rows of unequal lengths, expected an array") from e
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim != ndim or not np.issubdtype(array.dtype, np.integer):
        raise GenretError(
            f"{name}: found {array.dtype} of shape {array.shape}, expected integers of rank {ndim}"
        )
    return array
