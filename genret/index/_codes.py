"""Checks of the codes that a caller brings."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from genret.errors import GenretError

MAX_DEPTH = 64
MAX_ITEMS = 2**31 - 1
MAX_CODES = 2**31 - 1


def check_codes(
    codes: Any, codes_per_level: Any = None, end_code: int | None = None
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Check semantic IDs and say how many codes each level has.

    Args:
      codes: array-like of integers [N, L], every code >= 0.
      codes_per_level: L counts that the codes must stay below; None takes the largest code + 1.
      end_code: the code that ends a shorter semantic ID; whatever stands behind it is padding.

    Returns:
      The codes as an integer array [N, L], end codes to the end of the row, and the counts.

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
    if end_code is not None:
        array = _ended(array, end_code)
    if codes_per_level is None:
        _check_range(array, (MAX_CODES,) * depth)
        return array, tuple(c + 1 for c in _highest(array))
    counts = check_counts(codes_per_level, depth)
    _check_range(array, counts)
    return array, counts


def check_reserve(reserve: Any, insert_capacity: Any) -> None:
    """Check the room that an index is to leave."""
    if not isinstance(reserve, int | float) or not 0 <= reserve <= 16:
        raise GenretError(f"reserve: found {reserve!r}, expected a share of 0 to 16")
    if not isinstance(insert_capacity, int) or not 0 <= insert_capacity <= 2**30:
        raise GenretError(f"insert_capacity: found {insert_capacity!r}, expected 0 to 2**30 items")


def join_batches(batches: Iterable[Any]) -> np.ndarray:
    """Join batches of codes [n, L], each stored in the smallest type that holds it.

    Raises:
      GenretError: a batch that is no matrix of integers, or of other levels than the first.
    """
    parts: list[np.ndarray] = []
    for i, batch in enumerate(batches):
        array = np.asarray(batch)
        if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
            raise GenretError(
                f"batches[{i}]: found {array.dtype} {array.shape}, expected integers [n, L]"
            )
        if parts and array.shape[1] != parts[0].shape[1]:
            raise GenretError(
                f"batches[{i}]: found {array.shape[1]} levels, the first has {parts[0].shape[1]}"
            )
        if array.size:
            low, high = int(array.min()), int(array.max())
            array = array.astype(np.result_type(np.min_scalar_type(low), np.min_scalar_type(high)))
        parts.append(array)
    if not parts:
        raise GenretError("batches: found none, expected at least one")
    return np.concatenate(parts)


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


def _ended(codes: np.ndarray, end_code: int) -> np.ndarray:
    """Repeat the end code of each row to the end of the row, over the padding."""
    if isinstance(end_code, bool) or not isinstance(end_code, int | np.integer) or end_code < 0:
        raise GenretError(f"end_code: found {end_code!r}, expected a code of at least 0")
    is_end = codes == end_code
    if is_end[:, 0].any():
        row = int(np.argmax(is_end[:, 0]))
        raise GenretError(f"codes[{row}, 0]: found the end code {end_code}: an empty semantic ID")
    if not is_end.any():
        return codes
    return np.where(np.logical_or.accumulate(is_end, axis=1), end_code, codes)


def _check_range(codes: np.ndarray, counts: tuple[int, ...]) -> None:
    for level, highest in enumerate(_highest(codes)):
        if highest < min(counts[level], np.iinfo(codes.dtype).max + 1):
            continue
        column = codes[:, level]
        wrong = (column < 0) | (column >= counts[level])
        row = int(np.argmax(wrong))
        what = "of at least 0"
        if column[row] >= 0:
            what = f"below {counts[level]} (codes of level {level})"
        raise GenretError(f"codes[{row}, {level}]: found {column[row]}, expected a code {what}")


def _highest(codes: np.ndarray) -> list[int]:
    """Return the largest code of each level; one below 0 is larger than all others.

    Many rows are laid side by side, so that the loop over a row is long enough to be a fast one.
    """
    unsigned = codes.view(codes.dtype.str.replace("i", "u"))
    depth, side = codes.shape[1], 256
    even = len(codes) // side * side
    parts = [unsigned[even:]]
    if even and codes.flags.c_contiguous:
        parts.append(unsigned[:even].reshape(-1, side * depth).max(axis=0).reshape(side, depth))
    else:
        parts.append(unsigned[:even])
    return [int(x) for x in np.concatenate([p.max(axis=0, initial=0)[None] for p in parts]).max(0)]
