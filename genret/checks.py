"""Checks of item vectors that a caller or a file brings."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from genret.errors import GenretError
from genret.typing import Vectors

_ROWS = 65536
"""Rows looked at together, so that the check needs little memory beside the vectors."""


def check_vectors(
    vectors: Any,
    name: str = "vectors",
    *,
    width: int | None = None,
    ids: Sequence[Any] | np.ndarray = (),
    mapped: bool = False,
) -> Vectors:
    """Check item vectors and return them as float32.

    Args:
      vectors: array-like of numbers [N, D], N >= 1, D >= 1.
      name: what to name in errors.
      width: the expected D; None takes any.
      ids: the item id of each row, to name the bad one; empty names the row alone.
      mapped: floating-point vectors in a file (``np.memmap``) stay there, in their own precision.

    Returns:
      The vectors, float32 [N, D] (but for ``mapped``); not copied where they are float32 already.

    Raises:
      GenretError: not such an array, another width, or a value that is NaN or infinite as float32.

    >>> check_vectors([[1.0, 2.0], [float("nan"), 0.0]])
    Traceback (most recent call last):
    ...
    genret.errors.GenretError: vectors: row 1 holds nan at position 0, expected finite float32 numbers
    """
    stays = mapped and isinstance(vectors, np.memmap) and vectors.dtype.kind == "f"
    try:
        array = vectors if stays else np.asarray(vectors)
    except ValueError as e:
        raise GenretError(f"{name}: rows of different lengths, expected [N, D]") from e
    if array.ndim != 2 or 0 in array.shape:
        raise GenretError(f"{name}: found shape {array.shape}, expected [N, D]: one row an item")
    if array.dtype.kind not in "iuf":
        raise GenretError(f"{name}: found dtype {array.dtype}, expected real numbers")
    if width is not None and array.shape[1] != width:
        raise GenretError(f"{name}: found width {array.shape[1]}, expected {width}")
    with np.errstate(over="ignore"):  # too large for float32: becomes inf and is named below
        found = array if stays else array.astype(np.float32, copy=False)
    for start in range(0, len(found), _ROWS):
        with np.errstate(over="ignore"):
            finite = np.isfinite(found[start : start + _ROWS].astype(np.float32, copy=False))
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            row += start
            item = f" (item {str(ids[row])!r})" if len(ids) else ""
            raise GenretError(
                f"{name}: row {row}{item} holds {array[row, column]} at position {column}, "
                "expected finite float32 numbers"
            )
    return found
