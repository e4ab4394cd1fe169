"""Policies: which items may be recommended, as sets that combine and as bits on the device."""

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
class Policy:
    """A set of allowed items, on the host, one bit an item; ``&``, ``|`` and ``~`` combine sets.

    A search takes a sequence of policies, or the :class:`PolicyStack` made of it once.

    A policy is of a catalogue: it stays valid when items are removed or inserted, and allows no
    item that was inserted after it was made.

    Attributes:
      bits: uint8 [ceil(N / 8)]: bit ``i % 8`` of byte ``i // 8`` is item position ``i``.
      num_items: N.
      catalogue: checksum of the index's items: tells whether a policy belongs to an index.

    >>> from genret.index import TrieIndex
    >>> index = TrieIndex.from_codes([[3, 1], [0, 2], [3, 0]], ["a", "b", "c"])
    >>> fresh = Policy.from_items(index, ["a", "b"])
    >>> cheap = Policy.from_mask(index, [True, False, True])
    >>> fresh.num_allowed, (fresh & cheap).num_allowed, (~fresh | cheap).num_allowed
    (2, 1, 2)
    """

    bits: np.ndarray
    num_items: int
    catalogue: int

    @classmethod
    def from_items(cls, index: "TrieIndex", item_ids: Any) -> "Policy":
        """Allow items by id.

        Args:
          index: the index that the policy is for.
          item_ids: ids, in any order; may be empty.

        Returns:
          The policy.

        Raises:
          GenretError: an id that the index does not hold.
        """
        mask = np.zeros(index.num_items, bool)
        mask[index.positions_of(item_ids)] = True
        return cls.from_mask(index, mask)

    @classmethod
    def from_mask(cls, index: "TrieIndex", mask: Any) -> "Policy":
        """Allow the items at which a mask is true.

        Args:
          index: the index that the policy is for.
          mask: bool [N], by item position.

        Returns:
          The policy.

        Raises:
          GenretError: another shape or type.
        """
        allowed = np.asarray(mask)
        if allowed.shape != (index.num_items,) or allowed.dtype != np.bool_:
            raise GenretError(
                f"mask: found {allowed.dtype} {allowed.shape}, expected bool ({index.num_items},)"
            )
        bits = np.packbits(allowed, bitorder="little")
        return cls(bits=bits, num_items=allowed.size, catalogue=index.catalogue_checksum)

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
        """Raise GenretError when the policy was made for an index of other items."""
        if index.catalogue_checksum < 0:
            return  # an index that is being traced does not know
        if self.catalogue != index.catalogue_checksum or self.num_items > index.num_items:
            raise GenretError(
                f"policy: made for another index ({self.num_items} items), "
                f"expected one made for this index ({index.num_items} items)"
            )

    def __and__(self, other: "Policy") -> "Policy":
        mine, theirs = self._with_room_of(other), other._with_room_of(self)
        return dataclasses.replace(mine, bits=mine.bits & theirs.bits)

    def __or__(self, other: "Policy") -> "Policy":
        mine, theirs = self._with_room_of(other), other._with_room_of(self)
        return dataclasses.replace(mine, bits=mine.bits | theirs.bits)

    def __invert__(self) -> "Policy":
        flipped = np.packbits(~self.mask(), bitorder="little")
        return dataclasses.replace(self, bits=flipped)

    def _with_room_of(self, other: "Policy") -> "Policy":
        if self.catalogue != other.catalogue:
            raise GenretError(
                f"policy: found policies of two indices ({self.num_items} and {other.num_items} "
                "items), expected policies of one"
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
class PolicyStack:
    """Several policies of one index on the device, of which each request of a batch obeys one.

    It is a pytree. Removed items are taken out of it when it is made: after the index changed, it
    has to be made again.

    Attributes:
      segments: for each segment of the index, what is allowed, [P, ...].
      size: policies that were stacked, on the host; P is that rounded up to a power of two, so
        that another number of policies seldom compiles another program.
      version: the index's, on the host.
    """

    segments: tuple[AllowedRows, ...]
    size: int = -1
    version: Any = None

    @classmethod
    def of(cls, index: "TrieIndex", policies: Any) -> "PolicyStack":
        """Stack policies.

        Args:
          index: the index that they must have been made for.
          policies: a sequence of at least one :class:`Policy`.

        Returns:
          The stack.

        Raises:
          GenretError: no policy, something else than a policy, or one of another index.
        """
        policies = list(policies)
        if not policies:
            raise GenretError("policies: found none, expected at least one (None: no policies)")
        for i, policy in enumerate(policies):
            if not isinstance(policy, Policy):
                raise GenretError(f"policies[{i}]: found {type(policy).__name__}, expected Policy")
            policy.check_index(index)
        each = [index.allowed_rows(policy) for policy in policies]
        each += [each[-1]] * (power_of_two(len(each)) - len(each))
        return cls(
            segments=tuple(
                jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
                for parts in zip(*each, strict=True)
            ),
            size=len(policies),
            version=index.version,
        )

    @property
    def capacity(self) -> int:
        """Policies that there is room for, P."""
        return self.segments[0].rows.shape[0]

    def check_index(self, index: "TrieIndex") -> None:
        """Raise GenretError when the stack was made for another index, or before it changed."""
        # What has been through a JAX transformation no longer says what it was made for.
        if None not in (self.version, index.version) and self.version != index.version:
            raise GenretError(
                "policy: stacked for another index, or before its items changed: "
                "make the stack again"
            )
