"""CSR row pointers in the smallest of three exact forms."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.typing import Array, Bool, Int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RowPointers:
    """Where each row of a ragged array begins, when every row has at least one entry.

    The entries of row ``r`` are ``[begin(r), begin(r + 1))``. With ``S`` rows and ``E >= S``
    entries there are ``E - S`` *extra* entries: those that are not the first of their row. Since
    every row before ``r`` has exactly one first entry,

        begin(r) = r + |{extra entries of rows before r}|,

    so the sorted rows of the extra entries say as much as the pointers, and say it in less memory
    where few rows have more than one entry (the deep levels of a trie). Where no row has, there is
    nothing to store: ``begin(r) = r``.

    Exactly one of the fields is set, or neither. They hold arrays of NumPy (while building) or of
    JAX; JAX's transformations put other leaves there, hence ``Any``.

    Attributes:
      starts: int32 [S + 1], ``begin`` itself; or None.
      extra: int32 [E - S], sorted, the row of each extra entry; or None.

    >>> pointers = RowPointers(extra=jnp.array([1, 1]))  # rows of 1, 3 and 1 entries
    >>> pointers.begin(jnp.arange(4)).tolist()
    [0, 1, 4, 5]
    """

    starts: Any = None
    extra: Any = None

    @classmethod
    def of_entries(cls, is_first: np.ndarray) -> "RowPointers":
        """Build the pointers on the host.

        Args:
          is_first: bool [E]: whether each entry is the first one of its row; the first entry is.

        Returns:
          The pointers (NumPy arrays), in the smallest form.
        """
        extra = np.flatnonzero(~is_first)
        num_rows = is_first.size - extra.size
        if extra.size == 0:
            return cls()
        if extra.size <= num_rows:
            # The i-th extra entry stands at extra[i]; i of the entries before it are extra, so it
            # belongs to row extra[i] - i - 1.
            return cls(extra=(extra - np.arange(1, extra.size + 1)).astype(np.int32))
        starts = np.append(np.flatnonzero(is_first), is_first.size)
        return cls(starts=starts.astype(np.int32))

    @property
    def form(self) -> str:
        """Which form it is: "starts", "extra" or "one" (every row has one entry)."""
        if self.starts is not None:
            return "starts"
        return "extra" if self.extra is not None else "one"

    def begin(self, rows: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Return the first entry of each row; of row ``S``, the number of entries.

        Args:
          rows: int32, rows in [0, S].

        Returns:
          int32, entries. Rows outside [0, S] give an arbitrary number.
        """
        if self.starts is not None:
            return self.starts.at[rows].get(mode="clip")
        if self.extra is not None:
            before = jnp.searchsorted(self.extra, rows, side="left").astype(jnp.int32)
            return rows + before
        return rows

    def first_entries(self, num_entries: int) -> Bool[np.ndarray, "E"]:
        """Undo :meth:`of_entries`, on the host; the fields must be NumPy's.

        Args:
          num_entries: E.

        Returns:
          Whether each entry is the first one of its row.

        Raises:
          IndexError: the pointers point past the entries.
        """
        if self.starts is not None:
            is_first = np.zeros(num_entries, bool)
            is_first[self.starts[:-1]] = True
            return is_first
        is_first = np.ones(num_entries, bool)
        if self.extra is not None:
            is_first[self.extra.astype(np.int64) + np.arange(1, self.extra.size + 1)] = False
        return is_first

    def widest(self) -> int:
        """Return the entries of the longest row, on the host; the fields must be NumPy's."""
        if self.starts is not None:
            return int(np.diff(self.starts).max())
        if self.extra is not None:
            return 1 + int(np.unique_counts(self.extra).counts.max())
        return 1
