"""Filters: which items may be recommended, as sets that combine and as bits on the device."""

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.errors import GenretError
from genret.index._layout import power_of_two
from genret.index.allowed import AllowedRows
from genret.typing import Bool

if TYPE_CHECKING:
    from genret.index._index import TrieIndex


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ItemFilter:
    """A set of allowed items, on the host, one bit an item; ``&``, ``|`` and ``~`` combine sets.

    A search takes a sequence of filters, or the :class:`FilterStack` made of it once.

    A filter is of a catalog: it stays valid when items are removed or inserted, and allows no
    item that was inserted after it was made.

    Attributes:
      bits: uint8 [ceil(N / 8)]: bit ``i % 8`` of byte ``i // 8`` is item position ``i``.
      num_items: N.
      catalog: checksum of the index's items: tells whether a filter belongs to an index.

    >>> from genret.index import TrieIndex
    >>> index = TrieIndex.from_codes([[3, 1], [0, 2], [3, 0]], ["a", "b", "c"])
    >>> fresh = ItemFilter.from_items(index, ["a", "b"])
    >>> cheap = ItemFilter.from_mask(index, [True, False, True])
    >>> fresh.num_allowed, (fresh & cheap).num_allowed, (~fresh | cheap).num_allowed
    (2, 1, 2)
    """

    bits: np.ndarray
    num_items: int
    catalog: int

    @classmethod
    def from_items(cls, index: "TrieIndex", item_ids: Any) -> "ItemFilter":
        """Allow items by id.

        Args:
          index: the index that the filter is for.
          item_ids: ids, in any order; may be empty.

        Returns:
          The filter.

        Raises:
          GenretError: an id that the index does not hold.
        """
        mask = np.zeros(index.num_items, bool)
        mask[index.positions_of(item_ids)] = True
        return cls.from_mask(index, mask)

    @classmethod
    def from_mask(cls, index: "TrieIndex", mask: Any) -> "ItemFilter":
        """Allow the items at which a mask is true.

        Args:
          index: the index that the filter is for.
          mask: bool [N], by item position.

        Returns:
          The filter.

        Raises:
          GenretError: another shape or type.
        """
        allowed = np.asarray(mask)
        if allowed.shape != (index.num_items,) or allowed.dtype != np.bool_:
            raise GenretError(
                f"mask: found {allowed.dtype} {allowed.shape}, expected bool ({index.num_items},)"
            )
        bits = np.packbits(allowed, bitorder="little")
        return cls(bits=bits, num_items=allowed.size, catalog=index.catalog_checksum)

    @property
    def num_allowed(self) -> int:
        """Allowed items."""
        return int(np.bitwise_count(self.bits).sum())

    def mask(self, num_items: int | None = None) -> Bool[np.ndarray, "N"]:
        """Return the set as a mask by item position.

        Args:
          num_items: items of the mask, at least N; the later ones are not allowed. None: N.
        """
        known = np.unpackbits(self.bits, count=self.num_items, bitorder="little").astype(bool)
        return known if num_items is None else np.pad(known, (0, num_items - self.num_items))

    def check_index(self, index: "TrieIndex") -> None:
        """Raise GenretError when the filter was made for an index of other items."""
        if index.catalog_checksum < 0:
            return  # an index that is being traced does not know
        if self.catalog != index.catalog_checksum or self.num_items > index.num_items:
            raise GenretError(
                f"filter: made for another index ({self.num_items} items), "
                f"expected one made for this index ({index.num_items} items)"
            )

    def __and__(self, other: "ItemFilter") -> "ItemFilter":
        mine, theirs = self._with_room_of(other), other._with_room_of(self)
        return dataclasses.replace(mine, bits=mine.bits & theirs.bits)

    def __or__(self, other: "ItemFilter") -> "ItemFilter":
        mine, theirs = self._with_room_of(other), other._with_room_of(self)
        return dataclasses.replace(mine, bits=mine.bits | theirs.bits)

    def __invert__(self) -> "ItemFilter":
        flipped = np.packbits(~self.mask(), bitorder="little")
        return dataclasses.replace(self, bits=flipped)

    def _with_room_of(self, other: "ItemFilter") -> "ItemFilter":
        if self.catalog != other.catalog:
            raise GenretError(
                f"filter: found filters of two indices ({self.num_items} and {other.num_items} "
                "items), expected filters of one"
            )
        missing = max(0, other.bits.size - self.bits.size)
        return dataclasses.replace(
            self,
            bits=np.pad(self.bits, (0, missing)),
            num_items=max(self.num_items, other.num_items),
        )


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("segments",),
    meta_fields=(),
    drop_fields=("size", "version"),
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class FilterStack:
    """Several filters of one index on the device, of which each request of a batch obeys one.

    It is a pytree. Removed items are taken out of it when it is made: after the index changed, it
    has to be made again.

    Attributes:
      segments: for each segment of the index, what is allowed, [P, ...].
      size: filters that were stacked, on the host; P is that rounded up to a power of two, so
        that another number of filters seldom compiles another program.
      version: the index's, on the host.
    """

    segments: tuple[AllowedRows, ...]
    size: int = -1
    version: Any = None

    @classmethod
    def of(cls, index: "TrieIndex", filters: Any) -> "FilterStack":
        """Stack filters.

        Args:
          index: the index that they must have been made for.
          filters: a sequence of at least one :class:`ItemFilter`.

        Returns:
          The stack.

        Raises:
          GenretError: no filter, something else than a filter, or one of another index.
        """
        filters = list(filters)
        if not filters:
            raise GenretError("filters: found none, expected at least one (None: no filters)")
        for i, item_filter in enumerate(filters):
            if not isinstance(item_filter, ItemFilter):
                raise GenretError(
                    f"filters[{i}]: found {type(filter).__name__}, expected ItemFilter"
                )
            item_filter.check_index(index)
        each = [index.allowed_rows(item_filter) for item_filter in filters]
        each += [each[-1]] * (power_of_two(len(each)) - len(each))
        return cls(
            segments=tuple(
                jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
                for parts in zip(*each, strict=True)
            ),
            size=len(filters),
            version=index.version,
        )

    @property
    def capacity(self) -> int:
        """Filters that there is room for, P."""
        return self.segments[0].rows.shape[0]

    def check_index(self, index: "TrieIndex") -> None:
        """Raise GenretError when the stack was made for another index, or before it changed."""
        # What has been through a JAX transformation no longer says what it was made for.
        if None not in (self.version, index.version) and self.version != index.version:
            raise GenretError(
                "filter: stacked for another index, or before its items changed: "
                "make the stack again"
            )
