"""The index on disk: zarr3 arrays, a small JSON file, a manifest with checksums.

===========================  =====================================================================
``index.json``               codes per level, form of each level's pointers, kind of item ids
``level_00/codes``           the codes of the edges
``level_00/starts|extra``    the pointers; neither where every node has one child
``leaves/starts|extra``      likewise, from leaves to rows
``rows``                     sorted row -> item position
``item_ids|item_ids.json``   integers or strings; neither where ids are positions
===========================  =====================================================================
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genret import tensors
from genret.artifacts import read_manifest, verify_files, write_folder
from genret.errors import GenretError
from genret.index._builder import TrieArrays
from genret.index._codes import check_counts
from genret.index._ids import check_ids
from genret.index._row_pointers import RowPointers
from genret.index._validate import check_arrays
from genret.typing import PathLike

HEADER = "index.json"


def save_artifact(
    path: PathLike,
    arrays: TrieArrays,
    codes_per_level: tuple[int, ...],
    item_ids: np.ndarray | None,
) -> None:
    """Write an index as an artefact of its own."""
    summary = {"items": arrays.rows.size, "codes_per_level": list(codes_per_level)}
    with write_folder(path, "index", summary=summary) as folder:
        write_files(folder, arrays, codes_per_level, item_ids)


def write_files(
    folder: PathLike,
    arrays: TrieArrays,
    codes_per_level: tuple[int, ...],
    item_ids: np.ndarray | None,
) -> None:
    """Write the files of an index into a folder."""
    folder = Path(folder)
    for level, codes in enumerate(arrays.edge_codes):
        tensors.write_array(_level(folder, level) / "codes", codes)
        _write_pointers(_level(folder, level), arrays.pointers[level])
    _write_pointers(folder / "leaves", arrays.leaves)
    tensors.write_array(folder / "rows", arrays.rows)
    header = {
        "codes_per_level": list(codes_per_level),
        "pointers": [pointers.form for pointers in arrays.pointers],
        "leaves": arrays.leaves.form,
        "item_ids": _write_ids(folder, item_ids),
    }
    (folder / HEADER).write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")


def load_artifact(
    path: PathLike,
) -> tuple[TrieArrays, tuple[int, ...], np.ndarray | None]:
    """Read the artefact of an index; its checksums and its structure are verified.

    Raises:
      GenretError: no index there, or a damaged one.
    """
    folder = Path(path)
    verify_files(folder, read_manifest(folder, "index"))
    header = _read_header(folder / HEADER)
    codes_per_level = check_counts(header["codes_per_level"], len(header["pointers"]))
    depth = len(codes_per_level)
    arrays = TrieArrays(
        edge_codes=[tensors.read_array(_level(folder, level) / "codes") for level in range(depth)],
        pointers=[
            _read_pointers(_level(folder, level), form)
            for level, form in enumerate(header["pointers"])
        ],
        leaves=_read_pointers(folder / "leaves", header["leaves"]),
        rows=tensors.read_array(folder / "rows"),
    )
    check_arrays(arrays, codes_per_level, str(folder))
    return arrays, codes_per_level, _read_ids(folder, header["item_ids"], arrays.rows.size)


def _level(folder: Path, level: int) -> Path:
    return folder / f"level_{level:02d}"


def _write_pointers(folder: Path, pointers: RowPointers) -> None:
    if pointers.form != "one":
        tensors.write_array(folder / pointers.form, getattr(pointers, pointers.form))


def _read_pointers(folder: Path, form: str) -> RowPointers:
    return (
        RowPointers() if form == "one" else RowPointers(**{form: tensors.read_array(folder / form)})
    )


def _write_ids(folder: Path, item_ids: np.ndarray | None) -> str:
    if item_ids is None:
        return "positions"
    if item_ids.dtype == np.int64:
        tensors.write_array(folder / "item_ids", item_ids)
        return "integers"
    (folder / "item_ids.json").write_text(json.dumps(item_ids.tolist()), encoding="utf-8")
    return "strings"


def _read_ids(folder: Path, kind: str, num_items: int) -> np.ndarray | None:
    if kind == "positions":
        return None
    if kind == "integers":
        return check_ids(tensors.read_array(folder / "item_ids"), num_items)
    return check_ids(_read_json(folder / "item_ids.json"), num_items)


def _read_header(file: Path) -> Mapping[str, Any]:
    """Read the header; refuse one that does not say what the folder holds."""
    header = _read_json(file)
    forms = ("one", "starts", "extra")
    right = (
        isinstance(header, dict)
        and header.keys() >= {"codes_per_level", "pointers", "leaves", "item_ids"}
        and isinstance(header["pointers"], list)
        and all(form in forms for form in [*header["pointers"], header["leaves"]])
        and header["item_ids"] in ("positions", "integers", "strings")
    )
    if not right:
        raise GenretError(f"{file}: damaged: does not describe an index")
    return header


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise GenretError(f"{file}: cannot be read as JSON ({e})") from e
