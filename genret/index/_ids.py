"""Item ids on the host: checked, looked up, and given back for item positions."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from genret.errors import GenretError


def check_ids(item_ids: Any, num_items: int) -> np.ndarray | None:
    """Check the ids of a catalog's items.

    Args:
      item_ids: N distinct integers or N distinct strings (list or array); None: ids are positions.
      num_items: N.

    Returns:
      None, int64 [N], or strings [N] (NumPy's variable-width string type).

    Raises:
      GenretError: another number of ids, neither all integers nor all strings, or a duplicate.
    """
    if item_ids is None:
        return None
    ids = _as_array(item_ids)
    if ids.shape != (num_items,):
        raise GenretError(
            f"item_ids: found shape {ids.shape}, expected one id an item ({num_items},)"
        )
    values = ids.tolist()
    if len(set(values)) != num_items:
        seen: set[Any] = set()
        for row, value in enumerate(values):
            if value in seen:
                raise GenretError(f"item_ids[{row}]: {value!r} occurs twice, expected distinct ids")
            seen.add(value)
    return ids


def positions(lookup: Mapping[Any, int], wanted: Any) -> np.ndarray:
    """Return the positions of items by id: int32 [E].

    Raises:
      GenretError: an id that the index does not hold.
    """
    values = _as_array(wanted).reshape(-1).tolist()
    found = np.fromiter((lookup.get(v, -1) for v in values), np.int32, len(values))
    if (found < 0).any():
        raise GenretError(f"item_ids: no item has the id {values[int(np.argmax(found < 0))]!r}")
    return found


def ids_at(item_ids: np.ndarray | None, items: Any) -> np.ndarray:
    """Return the ids at item positions; padding (-1) gives -1 for integer ids, None for strings."""
    where = np.asarray(items)
    if item_ids is None:
        return where.astype(np.int64)
    taken = item_ids[np.maximum(where, 0)]
    if taken.dtype == np.int64:
        return np.where(where < 0, -1, taken)
    strings = taken.astype(object)
    strings[where < 0] = None
    return strings


def _as_array(ids: Any) -> np.ndarray:
    """Return ids as int64 or as variable-width strings; refuse everything else."""
    array = np.asarray(ids)
    if array.size == 0:
        return array.astype(np.int64)
    if np.issubdtype(array.dtype, np.integer):
        if array.max() > np.iinfo(np.int64).max:
            raise GenretError(f"item_ids: found {array.max()}, expected integers below 2**63")
        return array.astype(np.int64)
    # A list of mixed types becomes an array of strings in NumPy: look at the values themselves.
    values = (
        ids if isinstance(ids, list | tuple) and array.ndim == 1 else array.reshape(-1).tolist()
    )
    for row, value in enumerate(values):
        if not isinstance(value, str):
            raise GenretError(
                f"item_ids[{row}]: found {value!r}, expected all strings or all integers below 2**63"
            )
    try:
        return np.array(values, dtype=np.dtypes.StringDType()).reshape(array.shape)
    except UnicodeEncodeError as e:
        raise GenretError(f"item_ids: a string is not valid Unicode ({e})") from e
