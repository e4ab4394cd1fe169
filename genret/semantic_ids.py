"""SemanticIds: the codes of every item, checked once and passed around whole."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from genret import item_ids as ids
from genret import tensors
from genret.errors import GenretError
from genret.json_files import read_json
from genret.typing import Codes, Int, PathLike

MAX_DEPTH = 64
MAX_ITEMS = 2**31 - 1
MAX_CODES = 2**31 - 1
_MOST_CODES, _MOST_CODES_OF_AN_ITEM = 2**20, 16
"""Codes of a level in a file may stay below the first, or below the second times its items."""

CODES_FILE = "codes.npy"
HEADER_FILE = "semantic_ids.json"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SemanticIds:
    """A semantic ID for each item: a short sequence of codes, one for each level.

    Make one with :meth:`from_codes`, which checks what it is given; the constructor does not.

    Attributes:
      codes: integers [N, L], one row an item; several items may share a row. The row of an item is
        its *position*.
      codes_per_level: number of codes of each level, [L]; every code is below it.
      end_code: the code that ends a semantic ID of fewer than L codes and fills the rest of its row;
        None: all have L.
      item_ids: int64 [N] or strings [N], the id of each item; None: ids are positions.

    >>> ids = SemanticIds.from_codes([[3, 1], [0, 2]], ["tea", "mug"])
    >>> len(ids), ids.depth, ids.codes_per_level
    (2, 2, (4, 3))
    >>> SemanticIds.from_codes([[0, 1], [-1, 2]])
    Traceback (most recent call last):
    ...
    genret.errors.GenretError: codes[1, 0]: found -1, expected a code of at least 0
    """

    codes: Codes
    codes_per_level: tuple[int, ...]
    end_code: int | None = None
    item_ids: np.ndarray | None = None

    @classmethod
    def from_codes(
        cls,
        codes: Any,
        item_ids: Any = None,
        *,
        codes_per_level: Any = None,
        end_code: int | None = None,
        name: str = "codes",
    ) -> "SemanticIds":
        """Check codes and item ids.

        Args:
          codes: array-like of integers [N, L], 1 to 64 levels, every code at least 0; an array is
            not copied where it need not change. A :class:`SemanticIds` is returned as it is.
          item_ids: N distinct integers or N distinct strings; None: ids are positions.
          codes_per_level: L counts that the codes must stay below; None takes the largest code of
            each level + 1.
          end_code: see the attribute; whatever stands behind it in a row is padding.
          name: what to call the codes in errors.

        Returns:
          The semantic IDs.

        Raises:
          GenretError: codes that are empty, ragged, no integers or out of range (the message names
            row and level); ids of another number, of mixed types, or one that occurs twice.
        """
        if isinstance(codes, cls):
            return codes._checked_again(item_ids, codes_per_level, end_code)
        array = _as_matrix(codes, name)
        if end_code is not None:
            array = _filled_up(array, end_code, name)
        if codes_per_level is None:
            _check_range(array, (MAX_CODES,) * array.shape[1], name)
            counts = tuple(highest + 1 for highest in _highest(array))
        else:
            counts = check_counts(codes_per_level, array.shape[1])
            _check_range(array, counts, name)
        return cls(
            codes=array,
            codes_per_level=counts,
            end_code=None if end_code is None else int(end_code),
            item_ids=ids.check_ids(item_ids, len(array)),
        )

    @classmethod
    def from_batches(
        cls, batches: Iterable[Any], item_ids: Any = None, **options: Any
    ) -> "SemanticIds":
        """Check codes that come in batches, each stored in the smallest type that holds its codes.

        Args:
          batches: arrays of integers [n, L], one after the other.
          item_ids: as in :meth:`from_codes`.
          options: the other arguments of :meth:`from_codes`.

        Raises:
          GenretError: as :meth:`from_codes`; batches of different L.
        """
        return cls.from_codes(_joined(batches), item_ids, **options)

    def _checked_again(self, item_ids: Any, counts: Any, end_code: Any) -> "SemanticIds":
        """Refuse arguments that contradict what is known already; take ids where there are none."""
        if counts is not None and check_counts(counts, self.depth) != self.codes_per_level:
            raise GenretError(
                f"codes_per_level: found {tuple(counts)}, expected those of the semantic IDs, "
                f"{self.codes_per_level}"
            )
        if end_code is not None and end_code != self.end_code:
            raise GenretError(
                f"end_code: found {end_code}, expected that of the semantic IDs, {self.end_code}"
            )
        return self if item_ids is None else self.with_ids(item_ids)

    def __len__(self) -> int:
        """Number of items, N."""
        return len(self.codes)

    @property
    def num_items(self) -> int:
        """Number of items, N."""
        return len(self.codes)

    @property
    def depth(self) -> int:
        """Codes of an item, L."""
        return len(self.codes_per_level)

    def with_ids(self, item_ids: Any) -> "SemanticIds":
        """Return the same codes for items with other ids."""
        return dataclasses.replace(self, item_ids=ids.check_ids(item_ids, len(self)))

    def take(self, positions: Any) -> "SemanticIds":
        """Return the semantic IDs of some items, in the given order."""
        return dataclasses.replace(
            self,
            codes=self.codes[positions],
            item_ids=None if self.item_ids is None else self.item_ids[positions],
        )

    def ids_of(self, positions: Any) -> np.ndarray:
        """Return the ids of items; padding (-1) gives -1 for integer ids and None for strings."""
        return ids.ids_at(self.item_ids, positions)

    def positions_of(self, item_ids: Any) -> Int[np.ndarray, "K"]:
        """Return the positions of items by id, int32.

        Raises:
          GenretError: an id that no item has.
        """
        if self.item_ids is None:
            return ids.check_positions(item_ids, len(self))
        return ids.positions(self._position_of_id, item_ids)

    @cached_property
    def _position_of_id(self) -> dict[Any, int]:
        assert self.item_ids is not None
        return ids.position_of_id(self.item_ids)

    # Files

    def save(self, folder: PathLike) -> None:
        """Write the semantic IDs into a folder: ``codes.npy``, ``semantic_ids.json``, and the ids."""
        folder = Path(folder)
        np.save(folder / CODES_FILE, self.codes, allow_pickle=False)
        header = {
            "items": len(self),
            "codes_per_level": list(self.codes_per_level),
            "end_code": self.end_code,
            "item_ids": ids.write_ids(folder, self.item_ids),
        }
        (folder / HEADER_FILE).write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: PathLike) -> "SemanticIds":
        """Read what :meth:`save` wrote.

        Raises:
          GenretError: a file is missing or damaged, or the two do not fit together.
        """
        folder = Path(folder)
        header = read_header(folder / HEADER_FILE)
        file = folder / CODES_FILE
        codes = tensors.read_npy(file)
        found = cls.from_codes(
            codes,
            codes_per_level=header["codes_per_level"],
            end_code=header["end_code"],
            name=str(file),
        )
        if len(found) != header["items"]:
            raise GenretError(f"{file}: holds {len(found)} items, expected {header['items']}")
        return dataclasses.replace(
            found, item_ids=ids.read_ids(folder, header["item_ids"], len(found))
        )


def check_counts(codes_per_level: Any, depth: int) -> tuple[int, ...]:
    """Check the counts of codes of ``depth`` levels.

    Raises:
      GenretError: another number of counts, or one that is no positive integer below 2**31.
    """
    try:
        counts = np.asarray(codes_per_level)
    except (ValueError, OverflowError):
        counts = np.empty(0)
    if counts.shape != (depth,) or not np.issubdtype(counts.dtype, np.integer):
        raise GenretError(
            f"codes_per_level: found {codes_per_level!r}, expected {depth} integers, one a level"
        )
    for level, count in enumerate(counts.tolist()):
        if not 1 <= count <= MAX_CODES:
            raise GenretError(f"codes_per_level[{level}]: found {count}, expected 1 to {MAX_CODES}")
    return tuple(counts.tolist())


def read_header(file: Path) -> dict[str, Any]:
    """Read what a file says of semantic IDs: items, codes_per_level, end_code and item_ids.

    Raises:
      GenretError: it cannot be read, or says something else.
    """
    header = read_json(file)
    right = (
        isinstance(header, dict)
        and header.keys() >= {"items", "codes_per_level", "end_code", "item_ids"}
        and type(header["items"]) is int
        and 0 < header["items"] <= MAX_ITEMS
        and isinstance(header["codes_per_level"], list)
        and all(type(count) is int for count in header["codes_per_level"])
        and (header["end_code"] is None or type(header["end_code"]) is int)
        and header["item_ids"] in ids.KINDS
    )
    if not right:
        raise GenretError(f"{file}: damaged: does not describe semantic IDs")
    check_counts(header["codes_per_level"], len(header["codes_per_level"]))
    return header


def check_code_sizes(codes: np.ndarray, name: str, items: Sequence[str] | None = None) -> None:
    """Refuse codes of a file that are absurdly large for its number of items.

    A model has a row of weights for every code from 0 to the largest, so that a single code of
    2,000,000,000 would ask for terabytes.

    Args:
      codes: integers [N, L].
      name: what to call them in errors.
      items: names of the items in errors, [N]; None names the row.

    Raises:
      GenretError: a code of 2^20 or more that is also 16 N or more.
    """
    most = max(_MOST_CODES, _MOST_CODES_OF_AN_ITEM * len(codes))
    for level in range(codes.shape[1]):
        row = int(np.argmax(codes[:, level]))
        if codes[row, level] >= most:
            where = f"{name}[{row}, {level}]"
            if items is not None:
                where = f"{name}: item {items[row]!r}, level {level}"
            raise GenretError(
                f"{where}: found the code {codes[row, level]}, expected one below {most} for "
                f"{len(codes)} items: a model has a row of weights for each code"
            )


def _as_matrix(codes: Any, name: str) -> np.ndarray:
    """Return codes as an integer array [N, L] of bearable size."""
    try:
        array = np.asarray(codes)
    except (ValueError, OverflowError) as e:
        raise GenretError(f"{name}: rows of different lengths, expected [N, L] ({e})") from e
    if array.ndim != 2:
        raise GenretError(f"{name}: found shape {array.shape}, expected [N, L]: one row an item")
    num_items, depth = array.shape
    if num_items == 0:
        raise GenretError(f"{name}: found shape {array.shape}, expected at least one item")
    if not np.issubdtype(array.dtype, np.integer):
        raise GenretError(f"{name}: found dtype {array.dtype}, expected integers")
    if not 1 <= depth <= MAX_DEPTH:
        raise GenretError(f"{name}: found {depth} levels, expected 1 to {MAX_DEPTH}")
    if num_items > MAX_ITEMS:
        raise GenretError(f"{name}: found {num_items} items, expected at most {MAX_ITEMS}")
    return array


def _filled_up(codes: np.ndarray, end_code: Any, name: str) -> np.ndarray:
    """Repeat the end code of each row to the end of the row, over the padding."""
    if isinstance(end_code, bool) or not isinstance(end_code, int | np.integer) or end_code < 0:
        raise GenretError(f"end_code: found {end_code!r}, expected a code of at least 0")
    is_end = codes == end_code
    if is_end[:, 0].any():
        row = int(np.argmax(is_end[:, 0]))
        raise GenretError(f"{name}[{row}, 0]: found the end code {end_code}: an empty semantic ID")
    if not is_end.any():
        return codes
    return np.where(np.logical_or.accumulate(is_end, axis=1), end_code, codes)


def _check_range(codes: np.ndarray, counts: tuple[int, ...], name: str) -> None:
    for level, highest in enumerate(_highest(codes)):
        if highest < min(counts[level], np.iinfo(codes.dtype).max + 1):
            continue
        column = codes[:, level]
        wrong = (column < 0) | (column >= counts[level])
        row = int(np.argmax(wrong))
        expected = "of at least 0"
        if column[row] >= 0:
            expected = f"below {counts[level]} (codes of level {level})"
        raise GenretError(
            f"{name}[{row}, {level}]: found {column[row]}, expected a code {expected}"
        )


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


def _joined(batches: Iterable[Any]) -> np.ndarray:
    """Join batches of codes [n, L]."""
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
