"""What each request may not be answered: policies and excluded items, as counts over rows."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.index import PolicyStack, TrieIndex
from genret.typing import Array, Bool, Int

NO_ROW = np.iinfo(np.int32).max
"""Padding of the excluded rows: larger than any row, so that it counts as none."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Restriction:
    """Which rows of the index each request may be answered.

    Either part may be None, and then costs nothing. Both are asked one question: how many allowed
    rows are there before a row? Two answers give the allowed rows of a range.

    Attributes:
      policies: the policies of the batch.
      policy_of: int32 [B], the policy of each request.
      excluded: int32 [B, X], ascending: the rows that the policy allows and the request excludes,
        each once, then padding.
    """

    policies: PolicyStack | None
    policy_of: Any
    excluded: Any

    @classmethod
    def of(
        cls,
        policies: PolicyStack | None,
        policy_of: Int[Array, "B"] | None,
        exclude: Int[Array, "B X"] | None,
        row_of_item: Int[Array, "N"] | None,
    ) -> "Restriction":
        """Build the restriction of a batch, on the device.

        Args:
          policies: the policies; None allows every item.
          policy_of: the policy of each request.
          exclude: item positions, in any order, repeated or not; -1 is padding.
          row_of_item: the rows of the items; needed for ``exclude``.

        Returns:
          The restriction.
        """
        without = cls(policies=policies, policy_of=policy_of, excluded=None)
        if exclude is None or row_of_item is None:
            return without
        rows = row_of_item.at[exclude].get(
            mode="fill", fill_value=NO_ROW, wrap_negative_indices=False
        )
        if policies is not None:
            rows = jnp.where(without.allows(rows), rows, NO_ROW)  # not to be subtracted twice
        rows = jnp.sort(rows, axis=1)
        repeated = jnp.pad(rows[:, 1:] == rows[:, :-1], ((0, 0), (1, 0)))
        rows = jnp.sort(jnp.where(repeated, NO_ROW, rows), axis=1)
        return cls(policies=policies, policy_of=policy_of, excluded=rows)

    def allowed_before(self, rows: Int[Array, "B *shape"]) -> Int[Array, "B *shape"]:
        """Return the number of allowed rows before each row, int32; rows are in [0, N]."""
        allowed = rows
        if self.policies is not None:
            allowed = self.policies.rank(self.policy_of, rows)
        if self.excluded is not None:
            flat = rows.reshape(rows.shape[0], -1)
            count = jax.vmap(jnp.searchsorted)(self.excluded, flat)
            allowed = allowed - count.reshape(rows.shape).astype(jnp.int32)
        return allowed

    def allows(self, rows: Int[Array, "B X"]) -> Bool[Array, "B X"]:
        """Say whether rows are allowed; NO_ROW is not."""
        inside = rows != NO_ROW
        rows = jnp.where(inside, rows, 0)
        return inside & (self.allowed_before(rows + 1) > self.allowed_before(rows))

    def any_allowed_below(
        self, index: TrieIndex, level: int, begin: Int[Array, "B M"], width: int
    ) -> Bool[Array, "B M K"]:
        """Say which of ``width`` consecutive nodes have an allowed item below them.

        Args:
          index: the index.
          level: level of the nodes.
          begin: the first node of each run.
          width: K.

        Returns:
          Whether the nodes ``begin + k`` have one; arbitrary past the last node of the level.
        """
        # Consecutive nodes cover consecutive rows: K + 1 bounds serve K nodes.
        bounds = index.row_begin(level, nodes_from(begin, width + 1))
        counts = self.allowed_before(bounds)
        return counts[..., 1:] > counts[..., :-1]


def nodes_from(begin: Int[Array, "B M"], width: int) -> Int[Array, "B M K"]:
    """Return the ``width`` consecutive nodes (or edges) that begin at each of ``begin``."""
    return begin[..., None] + jnp.arange(width, dtype=jnp.int32).reshape(1, 1, width)
