"""The index on disk: the sorted codes, from which the trie is built again; a manifest, checksums.

======================  ==========================================================================
``index.json``          codes per level, end code, number of items, kind of item ids
``codes/level_00``      the code of each row at the level; rows are in lexicographic order
``positions``           item position of each row; not there where they are equal
``item_ids``            integers, or ``item_ids.json``: strings; neither where ids are positions
======================  ==========================================================================
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genret import item_ids as ids
from genret import tensors
from genret.artifacts import read_manifest, verify_files, write_folder
from genret.errors import GenretError
from genret.index.build import build_sorted, code_dtype
from genret.index.trie import Trie
from genret.semantic_ids import read_header
from genret.typing import PathLike

HEADER = "index.json"


def save_artifact(
    path: PathLike,
    trie: Trie,
    codes_per_level: tuple[int, ...],
    end_code: int | None,
    item_ids: np.ndarray | None,
) -> None:
    """Write an index as an artifact of its own."""
    summary = {"items": int(trie.num_rows), "codes_per_level": list(codes_per_level)}
    with write_folder(path, "index", summary=summary) as folder:
        write_files(folder, trie, codes_per_level, end_code, item_ids)


def write_files(
    folder: PathLike,
    trie: Trie,
    codes_per_level: tuple[int, ...],
    end_code: int | None,
    item_ids: np.ndarray | None,
) -> None:
    """Write the files of an index into a folder."""
    folder = Path(folder)
    num_rows = int(trie.num_rows)
    for level, stored in enumerate(trie.levels):
        tensors.write_array(_level(folder, level), stored.column(num_rows))
    if trie.positions is not None:
        tensors.write_array(folder / "positions", trie.positions_by_row)
    header = {
        "items": num_rows,
        "codes_per_level": list(codes_per_level),
        "end_code": end_code,
        "permuted": trie.positions is not None,
        "item_ids": ids.write_ids(folder, item_ids),
    }
    (folder / HEADER).write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")


def load_artifact(
    path: PathLike,
) -> tuple[Trie, tuple[int, ...], int | None, np.ndarray | None]:
    """Read the artifact of an index; its checksums and its order are verified.

    Raises:
      GenretError: no index there, or a damaged one.
    """
    folder = Path(path)
    verify_files(folder, read_manifest(folder, "index"))
    header = _read_header(folder / HEADER)
    num_rows = header.items
    counts = header.codes_per_level
    positions = tensors.read_array(folder / "positions") if header.permuted else None
    if positions is not None:
        _check_positions(positions, num_rows, str(folder))
    columns = _checked_columns(folder, counts, num_rows, positions)
    trie = build_sorted(columns, positions, num_rows, counts)
    return trie, counts, header.end_code, ids.read_ids(folder, header.item_ids, num_rows)


def _checked_columns(
    folder: Path, counts: tuple[int, ...], num_rows: int, positions: np.ndarray | None
) -> Iterator[np.ndarray]:
    """Read the codes level by level and refuse what the builder relies on and never tests."""
    undecided = np.ones(max(0, num_rows - 1), bool)  # pairs of rows that are equal so far
    for level, count in enumerate(counts):
        name = f"{folder}: damaged index: level {level}"
        column = tensors.read_array(_level(folder, level))
        dtype = code_dtype(count)
        if column.shape != (num_rows,) or column.dtype != dtype:
            raise GenretError(
                f"{name}: codes are {column.dtype} {column.shape}, expected {dtype} ({num_rows},)"
            )
        if int(column.max()) >= count:
            raise GenretError(f"{name}: found code {column.max()}, expected codes below {count}")
        if (undecided & (column[1:] < column[:-1])).any():
            raise GenretError(f"{name}: rows are not in the order of their codes")
        undecided &= column[1:] == column[:-1]
        yield column
    if positions is not None and (undecided & (positions[1:] < positions[:-1])).any():
        raise GenretError(f"{folder}: damaged index: items of one code are not in their order")


def _check_positions(positions: np.ndarray, num_rows: int, where: str) -> None:
    if positions.shape != (num_rows,) or positions.dtype != np.int32:
        raise GenretError(
            f"{where}: damaged index: positions are {positions.dtype} {positions.shape}, "
            f"expected int32 ({num_rows},)"
        )
    seen = np.zeros(num_rows, bool)
    if positions.min() >= 0 and positions.max() < num_rows:
        seen[positions] = True
    if not seen.all():
        raise GenretError(f"{where}: damaged index: positions are no permutation of the items")


def _level(folder: Path, level: int) -> Path:
    return folder / "codes" / f"level_{level:02d}"


class _Header(NamedTuple):
    """What the header says: see the table above."""

    items: int
    codes_per_level: tuple[int, ...]
    end_code: int | None
    permuted: bool
    item_ids: str


def _read_header(file: Path) -> _Header:
    """Read the header; refuse one that does not say what the folder holds."""
    header = read_header(file)
    if not isinstance(header.get("permuted"), bool):
        raise GenretError(f"{file}: damaged: does not describe an index")
    return _Header(
        items=header["items"],
        codes_per_level=tuple(header["codes_per_level"]),
        end_code=header["end_code"],
        permuted=header["permuted"],
        item_ids=header["item_ids"],
    )
