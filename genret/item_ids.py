"""Item ids on the host: checked, looked up, stored, and given back for item positions."""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genret import tensors
from genret.errors import GenretError
from genret.json_files import read_json

USUAL_NAMES = (
    "item_id", "item", "itemid", "iid", "movie_id", "parent_asin", "asin", "product_id",
    "product", "article_id", "sku", "book_id", "isbn", "track_id", "video_id", "news_id",
    "business_id", "game_id",
)  # fmt: skip
"""Names of columns that hold ids of items, the most usual first."""
KINDS = ("positions", "integers", "strings")
"""What the ids of items may be, as the headers of files say it."""


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


def position_of_id(item_ids: np.ndarray) -> dict[Any, int]:
    """Return the position of each id."""
    return {value: position for position, value in enumerate(item_ids.tolist())}


def check_positions(item_ids: Any, num_items: int) -> np.ndarray:
    """Return ids that are positions, after checking them: int32 [K].

    Raises:
      GenretError: not integers, or one that is no position.
    """
    found = np.asarray(item_ids).reshape(-1)
    if found.size and not np.issubdtype(found.dtype, np.integer):
        raise GenretError(f"item_ids: found dtype {found.dtype}, expected integers")
    outside = (found < 0) | (found >= num_items)
    if outside.any():
        wrong = found[int(np.argmax(outside))]
        raise GenretError(f"item_ids: no item has the id {wrong} ({num_items} items)")
    return found.astype(np.int32)


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


def check_companion(
    found: Collection[str], wanted: Sequence[str], name: str, what: str, *, superset: bool = False
) -> None:
    """Check that a file about items is about the items of a catalog.

    Args:
      found: ids of the file, as text, distinct.
      wanted: ids of the catalog, as text.
      name: what to call the file.
      what: what the file holds for each item ("codes").
      superset: whether the file may be of a larger catalog, so that most of its items are not here.

    Raises:
      GenretError: most items of the file are not in the catalog (unless ``superset``), or items of the catalog are not
        in the file; the message has their number and three of them. That some items of the file
        are not in the catalog is logged as a warning.
    """
    known = set(wanted)
    outside = [item for item in found if item not in known]
    missing = [item for item in wanted if item not in found]
    if 2 * len(outside) > len(found) and not superset:
        raise GenretError(
            f"{name}: {len(outside):,} of its {len(found):,} items are not in the catalog, such as "
            f"{_some(outside)}: is it of another catalog? Those of this one are like {_some(wanted)}; "
            "--superset takes a file of a larger catalog"
        )
    if missing:
        raise GenretError(
            f"{name}: has no {what} for {len(missing):,} of the {len(wanted):,} items of the "
            f"catalog, such as {_some(missing)}"
        )
    if outside:
        logging.getLogger(__name__).warning(
            "%s: %s items of the file are not in the catalog; their %s are left out",
            name, f"{len(outside):,}", what,
        )  # fmt: skip


def _some(items: Sequence[str]) -> str:
    return ", ".join(repr(item[:40]) for item in items[:3])


def write_ids(folder: Path, item_ids: np.ndarray | None) -> str:
    """Write ids into a folder and say what they are, one of :data:`KINDS`."""
    if item_ids is None:
        return "positions"
    if item_ids.dtype == np.int64:
        tensors.write_array(folder / "item_ids", item_ids)
        return "integers"
    (folder / "item_ids.json").write_text(json.dumps(item_ids.tolist()), encoding="utf-8")
    return "strings"


def read_ids(folder: Path, kind: str, num_items: int) -> np.ndarray | None:
    """Read what :func:`write_ids` wrote.

    Raises:
      GenretError: missing or damaged, or no ids of that many items.
    """
    if kind == "positions":
        return None
    if kind == "integers":
        return check_ids(tensors.read_array(folder / "item_ids"), num_items)
    return check_ids(read_json(folder / "item_ids.json"), num_items)
