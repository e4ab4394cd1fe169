"""Policies: which items may be recommended, as bits over the rows of an index."""

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.errors import GenretError
from genret.typing import Array, Int

if TYPE_CHECKING:
    from genret.index._index import TrieIndex

WORD_BITS = 32
BLOCK_WORDS = 8
BLOCK_BITS = BLOCK_WORDS * WORD_BITS


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("words", "counts"),
    meta_fields=(),
    drop_fields=("num_items", "order_checksum"),
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """A set of allowed items that answers "how many of these rows are allowed?" in O(1).

    One bit a row, and for each block of 256 rows the number of allowed rows before it:

        rank(r) = counts[r // 256] + popcount(bits of the block before r),

    so the allowed rows in [lo, hi) are ``rank(hi) - rank(lo)``. ``&``, ``|`` and ``~`` give the
    policies of the intersection, the union and the complement.

    Attributes:
      words: uint32 [N // 256 + 1, 8]: bit ``i`` of word ``w`` of a block is its row ``32 w + i``.
      counts: int32 [N // 256 + 1]: allowed rows before each block.
      num_items: N, on the host.
      order_checksum: that of the index, on the host.

    >>> from genret.index import TrieIndex
    >>> index = TrieIndex.from_codes([[3, 1], [0, 2], [3, 0]], ["a", "b", "c"])
    >>> fresh = Policy.from_items(index, ["a", "b"])
    >>> cheap = Policy.from_mask(index, [True, False, True])
    >>> fresh.num_allowed, (fresh & cheap).num_allowed, (~fresh | cheap).num_allowed
    (2, 1, 2)
    """

    words: Any
    counts: Any
    num_items: int = -1
    order_checksum: int = -1

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
        bits = np.zeros((index.num_items // BLOCK_BITS + 1) * BLOCK_BITS, bool)
        bits[: index.num_items] = allowed[np.asarray(index.rows)]
        words = np.packbits(bits, bitorder="little").view("<u4").reshape(-1, BLOCK_WORDS)
        return cls._from_words(jnp.asarray(words), index.num_items, index.order_checksum)

    @classmethod
    def _from_words(cls, words: Array, num_items: int, order_checksum: int) -> "Policy":
        in_block = jax.lax.population_count(words).sum(axis=1).astype(jnp.int32)
        return cls(
            words=words,
            counts=jnp.cumsum(in_block) - in_block,
            num_items=num_items,
            order_checksum=order_checksum,
        )

    @property
    def num_allowed(self) -> int:
        """Allowed items."""
        return int(jax.lax.population_count(self.words).sum())

    def rank(self, rows: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Return the number of allowed rows before each row, int32; rows are in [0, N]."""
        return _rank(self.words, self.counts, (), rows)

    def check_index(self, index: "TrieIndex") -> None:
        """Raise GenretError when the policy was made for an index of other items or order."""
        _check_index(index, self.num_items, self.order_checksum)

    def __and__(self, other: "Policy") -> "Policy":
        return self._combined(self.words & self._matching(other).words)

    def __or__(self, other: "Policy") -> "Policy":
        return self._combined(self.words | self._matching(other).words)

    def __invert__(self) -> "Policy":
        bits = np.arange(self.words.size * WORD_BITS) < self.num_items
        items = np.packbits(bits, bitorder="little").view("<u4").reshape(self.words.shape)
        return self._combined(~self.words & jnp.asarray(items))

    def _combined(self, words: Array) -> "Policy":
        return Policy._from_words(words, self.num_items, self.order_checksum)

    def _matching(self, other: "Policy") -> "Policy":
        if (self.num_items, self.order_checksum) != (other.num_items, other.order_checksum):
            raise GenretError(
                f"policy: found policies of two indices ({self.num_items} and {other.num_items} "
                "items), expected policies of one"
            )
        return other


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("words", "counts"),
    meta_fields=(),
    drop_fields=("size", "num_items", "order_checksum"),
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyStack:
    """Several policies of one index, of which each request of a batch obeys one.

    Attributes:
      words: uint32 [P, N // 256 + 1, 8].
      counts: int32 [P, N // 256 + 1].
      size: policies that were stacked, on the host; P is that rounded up to a power of two, so
        that another number of policies seldom compiles another program.
      num_items: N, on the host.
      order_checksum: that of the index, on the host.
    """

    words: Any
    counts: Any
    size: int = -1
    num_items: int = -1
    order_checksum: int = -1

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
        capacity = 1 << (len(policies) - 1).bit_length()
        padded = policies + [policies[-1]] * (capacity - len(policies))
        return cls(
            words=jnp.stack([policy.words for policy in padded]),
            counts=jnp.stack([policy.counts for policy in padded]),
            size=len(policies),
            num_items=index.num_items,
            order_checksum=index.order_checksum,
        )

    def check_index(self, index: "TrieIndex") -> None:
        """Raise GenretError when the policies were made for an index of other items or order."""
        _check_index(index, self.num_items, self.order_checksum)

    def rank(
        self, policy_of: Int[Array, "B"], rows: Int[Array, "B *shape"]
    ) -> Int[Array, "B *shape"]:
        """Return the number of rows before each row that the request's policy allows.

        Args:
          policy_of: int32, the policy of each request.
          rows: int32, rows in [0, N].

        Returns:
          int32 counts.
        """
        policy = policy_of.reshape(-1, *[1] * (rows.ndim - 1))
        return _rank(self.words, self.counts, (policy,), rows)


def _check_index(index: "TrieIndex", num_items: int, order_checksum: int) -> None:
    # What has been through a JAX transformation no longer says what it was made for.
    unknown = num_items < 0 or index.order_checksum < 0
    if not unknown and (num_items, order_checksum) != (index.num_items, index.order_checksum):
        raise GenretError(
            f"policy: made for another index ({num_items} items), "
            f"expected one made for this index ({index.num_items} items)"
        )


def _rank(words: Array, counts: Array, policy: tuple[Array, ...], rows: Array) -> Array:
    block = rows // BLOCK_BITS
    # Bits of each word of the block that come before the row: 0 to 32.
    first_bit = jnp.arange(BLOCK_WORDS, dtype=jnp.int32).reshape(*[1] * rows.ndim, -1) * WORD_BITS
    before = jnp.clip((rows % BLOCK_BITS)[..., None] - first_bit, 0, WORD_BITS)
    # A shift by the width of the word is not the same on every backend: 32 is told apart.
    partial_mask = (jnp.uint32(1) << jnp.minimum(before, WORD_BITS - 1).astype(jnp.uint32)) - 1
    mask = jnp.where(before == WORD_BITS, jnp.uint32(0xFFFFFFFF), partial_mask)
    chosen = words.at[(*policy, block)].get(mode="clip")
    in_block = jax.lax.population_count(chosen & mask).astype(jnp.int32).sum(axis=-1)
    return counts.at[(*policy, block)].get(mode="clip") + in_block
