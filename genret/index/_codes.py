"""Checks of the codes that a caller brings."""

from typing import Any

import numpy as np

from genret.errors import GenretError

MAX_DEPTH = 64
MAX_ITEMS = 2**31 - 1
MAX_CODES = 2**31 - 1


def check_codes(codes: Any, codes_per_level: Any = None) -> tuple[np.ndarray, tuple[int, ...]]:
    """Check semantic IDs and say how many codes each level has.

    Args:
      codes: array-like of integers [N, L], every code >= 0.
      codes_per_level: L counts that the codes must stay below; None takes the largest code + 1.

    Returns:
      The codes as an integer array [N, L], and the counts.

    Raises:
      GenretError: not a rectangular array of integers, empty, too deep, too many items, or a code
        out of range (the message names its row and level).

    >>> check_codes([[0, 1], [-1, 2]])
    Traceback (most recent call last):
    ...
    genret.errors.GenretError: codes[1, 0]: found -1, expected a code of at least 0
    """
    try:
        array = np.asarray(codes)
    except ValueError as e:
        raise GenretError(f"codes: rows of different lengths, expected [N, L] ({e})") from e
    if array.ndim != 2:
        raise GenretError(f"codes: found shape {array.shape}, expected [N, L]: one row an item")
    num_items, depth = array.shape
    if num_items == 0:
        raise GenretError(f"codes: found shape {array.shape}, expected at least one item")
    if not np.issubdtype(array.dtype, np.integer):
        raise GenretError(f"codes: found dtype {array.dtype}, expected integers")
    if not 1 <= depth <= MAX_DEPTH:
        raise GenretError(f"codes: found {depth} levels, expected 1 to {MAX_DEPTH}")
    if num_items > MAX_ITEMS:
        raise GenretError(f"codes: found {num_items} items, expected at most {MAX_ITEMS}")
    if codes_per_level is None:
        _check_range(array, (MAX_CODES,) * depth)
        return array, tuple(int(c) + 1 for c in array.max(axis=0))
    counts = check_counts(codes_per_level, depth)
    _check_range(array, counts)
    return array, counts


def check_counts(codes_per_level: Any, depth: int) -> tuple[int, ...]:
    """Check the counts of codes of ``depth`` levels.

    Raises:
      GenretError: another number of counts, or one that is no positive integer below 2**31.
    """
    counts = np.asarray(codes_per_level)
    if counts.shape != (depth,) or not np.issubdtype(counts.dtype, np.integer):
        raise GenretError(
            f"codes_per_level: found {codes_per_level!r}, expected {depth} integers, one a level"
        )
    for level, count in enumerate(counts.tolist()):
        if not 1 <= count <= MAX_CODES:
            raise GenretError(f"codes_per_level[{level}]: found {count}, expected 1 to {MAX_CODES}")
    return tuple(counts.tolist())


def _check_range(codes: np.ndarray, counts: tuple[int, ...]) -> None:
    for level, count in enumerate(counts):
        column = codes[:, level]
        if column.min() < 0:
            row = int(np.argmax(column < 0))
            raise GenretError(
                f"codes[{row}, {level}]: found {column[row]}, expected a code of at least 0"
            )
        if column.max() >= count:
            row = int(np.argmax(column >= count))
            raise GenretError(
                f"codes[{row}, {level}]: found {column[row]}, expected a code below {count} "
                f"(codes of level {level})"
            )
