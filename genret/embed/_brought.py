"""Ids beside vectors that the user brings: in the file, or in one of their own."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genret.errors import GenretError
from genret.item_ids import USUAL_NAMES, check_companion
from genret.tensors import read_npy

USUAL_IDS = (*USUAL_NAMES, "id", "productid", "movieid", "gid")
"""Names of columns that hold ids of items, the likeliest first."""
_MOST_EXPANDED, _MOST_EXPANSION = 1 << 28, 100
"""An archive that expands to more bytes than the first, and by more than this factor, is a bomb."""
_IDS_IN_ARCHIVE = ("ids", "item_ids", *USUAL_IDS)


def id_column(schema: pa.Schema, item: str | None, name: str) -> str:
    """Return the name of the column of ids.

    Args:
      schema: of the file.
      item: the name that the user gave.
      name: of the file, for errors.

    Raises:
      GenretError: no column, or several that could be it.
    """
    if item is not None:
        if item not in schema.names:
            raise GenretError(f"{name}: has no column {item!r}; it has {', '.join(schema.names)}")
        if not _holds_ids(schema.field(item).type):
            raise GenretError(
                f"{name}: column {item!r} is of type {schema.field(item).type}, expected ids: text "
                "or integers"
            )
        return item
    columns = [f.name for f in schema if _holds_ids(f.type)]
    usual = [column for known in USUAL_IDS for column in columns if column.lower() == known]
    if usual:
        return usual[0]
    if len(columns) == 1:
        return columns[0]
    found = f"{', '.join(columns)} could be it" if columns else "none is text or integers"
    raise GenretError(f"{name}: found no column of ids ({found}); name it with --item")


def _holds_ids(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    types = pa.types
    is_view = getattr(types, "is_string_view", lambda _: False)(kind)  # younger than our floor
    is_text = types.is_string(kind) or types.is_large_string(kind) or is_view
    return bool(is_text or types.is_integer(kind))


def read_archive(file: Path) -> tuple[list[str], np.ndarray]:
    """Return the ids and the vectors of a ``.npz``.

    Raises:
      GenretError: it cannot be read, or does not hold one array of ids and one of vectors.
    """
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as members:
                expanded = sum(member.file_size for member in members.infolist())
            if expanded > max(_MOST_EXPANDED, _MOST_EXPANSION * file.stat().st_size):
                raise GenretError(
                    f"{file}: {file.stat().st_size:,} bytes that expand to {expanded:,}, expected "
                    f"at most {_MOST_EXPANSION} times as many: vectors do not shrink that much"
                )
        with np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise GenretError(f"{file}: holds one array, expected ids and vectors")
            arrays = {name: archive[name] for name in archive.files}
            for name, array in arrays.items():
                if not isinstance(array, np.ndarray):  # the bytes of what is no .npy
                    raise GenretError(f"{file}: its member {name!r} is no array")
    except (OSError, ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile) as e:
        raise GenretError(f"{file}: cannot be read as .npz: {str(e).splitlines()[0]}") from e
    named = [name for known in _IDS_IN_ARCHIVE for name in arrays if name.lower() == known]
    vectors = [name for name, array in arrays.items() if array.ndim == 2]
    if not named or len(vectors) != 1:
        raise GenretError(
            f"{file}: found the arrays {', '.join(arrays)}, expected one of ids ('ids') and one of "
            "vectors [N, D]"
        )
    return _as_text(arrays[named[0]], f"{file}: {named[0]}"), arrays[vectors[0]]


def read_ids(path: Path, item: str | None) -> list[str]:
    """Read the ids of the rows of an array that has none.

    Args:
      path: ``.txt`` (an id a line), ``.json`` (a list), ``.npy`` or ``.parquet``.
      item: Parquet: the column of ids; None finds the usual names.

    Returns:
      The ids as text.

    Raises:
      GenretError: the file cannot be read, or holds something else.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".txt":
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
            if "" in lines:
                raise GenretError(
                    f"{path}: line {lines.index('') + 1} is blank, expected an id a line"
                )
            return lines
        if suffix == ".json":
            found = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(found, list) or not all(type(i) in (str, int) for i in found):
                raise GenretError(f"{path}: expected a list of ids, text or integers")
            return [str(i) for i in found]
        if suffix == ".npy":
            return _as_text(read_npy(path), str(path))
        if suffix in (".parquet", ".pq"):
            file = pq.ParquetFile(path)
            column = id_column(file.schema_arrow, item, str(path))
            ids = file.read([column])[column].to_pylist()
            if None in ids:
                raise GenretError(f"{path}: row {ids.index(None)} has no id")
            return [str(i) for i in ids]
    except (OSError, ValueError, EOFError, RecursionError, pa.ArrowException) as e:
        if isinstance(e, GenretError):
            raise
        raise GenretError(f"{path}: cannot be read as ids: {str(e).splitlines()[0]}") from e
    raise GenretError(f"{path}: expected ids in a .txt, .json, .npy or .parquet file")


def in_order(
    ids: Sequence[str],
    vectors: np.ndarray,
    item_ids: Sequence[Any] | np.ndarray,
    name: str,
    *,
    what: str = "vectors",
    superset: bool = False,
) -> np.ndarray:
    """Put the rows of a file in the order of the catalog.

    Args:
      ids: the id of each row of the file.
      vectors: its rows [N, D]: vectors, or codes.
      item_ids: ids of the catalog; both are compared as text.
      name: of the file, for errors.
      what: what the rows are, for errors.
      superset: whether most items of the file may be outside the catalog.

    Returns:
      The rows of the catalog's items.

    Raises:
      GenretError: another number of ids than rows, an id that occurs twice, or an item without a
        vector.
    """
    if len(ids) != len(vectors):
        raise GenretError(f"{name}: found {len(vectors)} {what} and {len(ids)} ids")
    rows = {item: row for row, item in enumerate(ids)}
    if len(rows) != len(ids):
        twice = next(item for row, item in enumerate(ids) if rows[item] != row)
        raise GenretError(f"{name}: item {twice!r} occurs more than once")
    wanted = [str(item) for item in item_ids]
    check_companion(rows, wanted, name, what, superset=superset)
    return vectors[[rows[item] for item in wanted]]


def _as_text(ids: np.ndarray, name: str) -> list[str]:
    if ids.ndim != 1 or ids.dtype.kind not in "iuUT":
        raise GenretError(
            f"{name}: found {ids.dtype} {ids.shape}, expected ids [N], text or integers"
        )
    return [str(i) for i in ids.tolist()]
