"""What every tokenizer can do, and the check of codes that come from outside."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from genret.config import TokenizeConfig
from genret.errors import GenretError
from genret.typing import Codes, Int, PathLike, Vectors


@runtime_checkable
class Tokenizer(Protocol):
    """Turns item vectors into codes with frozen parameters, and back.

    Attributes:
      codes_per_level: codes of each level, before a collision suffix.
    """

    codes_per_level: tuple[int, ...]

    @classmethod
    def fit(
        cls,
        vectors: ArrayLike,
        config: TokenizeConfig,
        seed: int,
        advance: Callable[[], None] = lambda: None,
        pairs: sp.csr_matrix | None = None,
    ) -> "Tokenizer":
        """Learn the parameters from the vectors [N, D] of a catalog.

        ``advance`` is called after each of the ``config.levels`` parts of the work. ``pairs`` counts
        which items occur together in training histories, [N, N]; what has no use for it ignores it.
        """
        ...

    def encode(self, vectors: ArrayLike) -> Int[np.ndarray, "N L"]:
        """Return the codes int32 [N, L] of vectors [N, D]; the same for a vector in any company."""
        ...

    def decode(self, codes: ArrayLike) -> Vectors:
        """Return what codes [N, l], l ≤ L, say about the vectors: float32 [N, D]."""
        ...

    def save(self, folder: PathLike) -> None:
        """Write the parameters into a folder."""
        ...

    @classmethod
    def load(cls, folder: PathLike) -> "Tokenizer":
        """Read what :meth:`save` wrote."""
        ...

    def report(self, vectors: ArrayLike) -> dict[str, Any]:
        """Return the figures of :func:`code_report` for the codes of some vectors."""
        ...


def check_codes(
    codes: Any, codes_per_level: Sequence[int] | None = None, name: str = "codes"
) -> tuple[Codes, tuple[int, ...]]:
    """Check semantic IDs and return them as int32 with the number of codes of each level.

    Args:
      codes: array-like of integers [N, L], N >= 1, 1 <= L <= 64, every code >= 0.
      codes_per_level: counts that the codes must stay below; None takes the largest code + 1.
      name: what to name in errors.

    Returns:
      The codes int32 [N, L] and L counts.

    Raises:
      GenretError: ragged, not integers, of another shape, or out of range (row and level named).

    >>> check_codes([[0, 4], [2, 1]])[1]
    (3, 5)
    """
    try:
        array = np.asarray(codes)
    except (ValueError, OverflowError) as e:
        raise GenretError(f"{name}: rows of different lengths, expected [N, L]") from e
    if array.ndim != 2 or 0 in array.shape:
        raise GenretError(f"{name}: found shape {array.shape}, expected [N, L]: one row an item")
    if array.dtype.kind not in "iu":
        raise GenretError(f"{name}: found dtype {array.dtype}, expected integers")
    if array.shape[1] > 64:
        raise GenretError(f"{name}: found {array.shape[1]} levels, expected at most 64")
    if codes_per_level is None:
        limits = np.full(array.shape[1], np.iinfo(np.int32).max, np.int64)
    else:
        limits = np.asarray(codes_per_level)
        if limits.shape != array.shape[1:] or limits.dtype.kind not in "iu" or limits.min() < 1:
            raise GenretError(
                f"{name}: found {array.shape[1]} levels, expected codes_per_level "
                f"{list(codes_per_level)} to hold a positive count for each"
            )
    bad = (array < 0) | (array >= limits[None, :])
    if bad.any():
        row, level = np.argwhere(bad)[0]
        raise GenretError(
            f"{name}: row {row} has the code {array[row, level]} at level {level}, expected 0 to "
            f"{limits[level] - 1}"
        )
    if codes_per_level is None:
        limits = array.max(axis=0).astype(np.int64) + 1
    return array.astype(np.int32, copy=False), tuple(limits.tolist())
