"""Filters: which items may be recommended, as sets that combine and as bits on the device."""

import abc
import dataclasses
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from genret.errors import GenretError
from genret.index.layout import power_of_two
from genret.index.parts import Parts
from genret.index.restriction import AllowedRows
from genret.pytree import host_field, register_pytree
from genret.typing import Bool, Int, UInt


class FilteredIndex(abc.ABC):
    """What a filter asks of an index: the items, and what tells it from other indices.

    Attributes:
      version: differs between indices; None: unknown.
    """

    version: object

    @property
    @abc.abstractmethod
    def num_items(self) -> int:
        """Item positions, N."""

    @property
    @abc.abstractmethod
    def catalog_checksum(self) -> int:
        """Checksum of the items that the index was built from; -1: unknown."""

    @abc.abstractmethod
    def positions_of(self, item_ids: object) -> Int[np.ndarray, "E"]:
        """Return the positions of items by id."""

    @abc.abstractmethod
    def allowed_rows(
        self, mask: Bool[np.ndarray, "N"]
    ) -> tuple[AllowedRows | Parts[AllowedRows], AllowedRows | None]:
        """Put a set of allowed items on the device: those of the catalog, and inserted ones."""


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

    bits: UInt[np.ndarray, "W"]
    num_items: int
    catalog: int

    @classmethod
    def from_items(cls, index: FilteredIndex, item_ids: object) -> "ItemFilter":
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
    def from_mask(cls, index: FilteredIndex, mask: object) -> "ItemFilter":
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

    def check_index(self, index: FilteredIndex) -> None:
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


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class FilterStack:
    """Several filters of one index on the device, of which each request of a batch obeys one.

    It is a pytree. Removed items are taken out of it when it is made: after a :class:`LiveIndex`
    changed, it has to be made again.

    Attributes:
      rows: what is allowed, [P, ...]; in parts where the index is.
      inserted: what is allowed of the items inserted into a :class:`LiveIndex`; None: there are none.
      size: filters that were stacked, on the host; P is that rounded up to a power of two, so
        that another number of filters seldom compiles another program. -1: unknown.
      version: the index's, on the host.
    """

    rows: AllowedRows | Parts[AllowedRows]
    inserted: AllowedRows | None
    size: int = host_field(-1)
    version: object = host_field()

    @classmethod
    def of(cls, index: FilteredIndex, filters: Iterable[object]) -> "FilterStack":
        """Stack filters.

        Args:
          index: the index that they must have been made for.
          filters: a sequence of at least one :class:`ItemFilter`.

        Returns:
          The stack.

        Raises:
          GenretError: no filter, something else than a filter, or one of another index.
        """
        masks = []
        for i, item_filter in enumerate(filters):
            if not isinstance(item_filter, ItemFilter):
                raise GenretError(
                    f"filters[{i}]: found {type(item_filter).__name__}, expected ItemFilter"
                )
            item_filter.check_index(index)
            masks.append(item_filter.mask(index.num_items))
        if not masks:
            raise GenretError("filters: found none, expected at least one (None: no filters)")
        return cls.of_masks(index, masks)

    @classmethod
    def of_masks(cls, index: FilteredIndex, masks: list[Bool[np.ndarray, "N"]]) -> "FilterStack":
        """Stack sets of allowed items, bool [N] by position."""
        each = [index.allowed_rows(mask) for mask in masks]
        each += [each[-1]] * (power_of_two(len(each)) - len(each))
        rows, inserted = jax.tree.map(lambda *sets: jnp.concatenate(sets), *each)
        return cls(rows=rows, inserted=inserted, size=len(masks), version=index.version)

    @property
    def capacity(self) -> int:
        """Filters that there is room for, P."""
        return jax.tree.leaves(self.rows)[0].shape[0]

    def check_index(self, index: FilteredIndex) -> None:
        """Raise GenretError when the stack was made for another index, or before it changed."""
        # What has been through a JAX transformation no longer says what it was made for.
        if None not in (self.version, index.version) and self.version != index.version:
            raise GenretError(
                "filter: stacked for another index, or before its items changed: "
                "make the stack again"
            )
