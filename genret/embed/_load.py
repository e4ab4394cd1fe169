"""Vectors that the user brings: ``.npy``, a Parquet column, or a zarr3 array."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genret import tensors
from genret.checks import check_vectors
from genret.errors import GenretError
from genret.item_ids import USUAL_NAMES, check_companion
from genret.tensors import read_npy
from genret.typing import PathLike, Vectors

_BATCH = 16384


def read_vectors(
    path: PathLike, item_ids: Sequence[Any] | np.ndarray, column: str | None = None
) -> Vectors:
    """Read item vectors from a file.

    ``.npy`` and zarr3 hold no ids: row i must be the vector of ``item_ids[i]``, in the order of
    ``catalog/items.parquet``. Parquet holds an id column beside the vectors and may be in any
    order; ids are compared as text, and vectors of items outside the catalog are left out (a
    warning is logged that says how many).

    Args:
      path: a ``.npy`` file, a ``.parquet`` file, or the folder or URL of a zarr3 array.
      item_ids: ids of the catalog, in row order.
      column: Parquet: the column of lists of numbers; None takes the only one.

    Returns:
      float32 [N, D], row i for ``item_ids[i]``.

    Raises:
      GenretError: the file cannot be read, has another number of rows, lacks an item (Parquet) or
        holds it twice, or a vector is missing, of another width, NaN or infinite.
    """
    text = os.fspath(path)
    file = Path(text)
    if "://" not in text and not file.exists():
        raise GenretError(f"{text}: no such file (vectors)")
    if file.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(file, item_ids, column)
    if column is not None:
        raise GenretError(f"{text}: is no Parquet file, so it has no column {column!r}")
    if file.suffix.lower() == ".npy":
        found = read_npy(file)
    elif "://" in text or (file / "zarr.json").is_file():
        found = tensors.read_array(text)
    else:
        raise GenretError(f"{text}: expected a .npy file, a .parquet file or a zarr3 folder")
    if found.ndim == 2 and len(found) != len(item_ids):
        raise GenretError(
            f"{text}: found {len(found)} rows, expected {len(item_ids)}: one for each row of "
            "the catalog"
        )
    return check_vectors(found, text, ids=item_ids)


def _read_parquet(file: Path, item_ids: Sequence[Any] | np.ndarray, column: str | None) -> Vectors:
    try:
        source = pq.ParquetFile(file)
        vector_column, id_column = _columns(source.schema_arrow, column, str(file))
        rows = {str(item): row for row, item in enumerate(item_ids)}
        found: Vectors | None = None
        filled = np.zeros(len(item_ids), bool)
        outside: set[str] = set()
        for ids, vectors in _batches(source, id_column, vector_column, str(file)):
            if found is None:
                found = np.zeros((len(item_ids), vectors.shape[1]), np.float32)
            if vectors.shape[1] != found.shape[1]:
                raise GenretError(
                    f"{file}: item {ids[0]!r} has a vector of {vectors.shape[1]} numbers, the "
                    f"items before {found.shape[1]}"
                )
            for i, item in enumerate(ids):
                row = rows.get(item)
                if row is None:
                    outside.add(item)
                elif filled[row]:
                    raise GenretError(f"{file}: item {item!r} occurs more than once")
                else:
                    found[row] = vectors[i]
                    filled[row] = True
    except (OSError, pa.ArrowException) as e:
        reason = str(e).splitlines()[0]
        raise GenretError(f"{file}: cannot be read as Parquet: {reason}") from e
    inside = {item for item, row in rows.items() if filled[row]}
    check_companion(inside | outside, list(rows), str(file), "vectors")
    assert found is not None
    return found


def _columns(schema: pa.Schema, column: str | None, name: str) -> tuple[str, str]:
    """Return the names of the vector column and of the id column."""
    lists = [f.name for f in schema if _is_vector(f.type)]
    if column is not None and column not in schema.names:
        raise GenretError(f"{name}: has no column {column!r}; it has {', '.join(schema.names)}")
    if column is not None and column not in lists:
        raise GenretError(
            f"{name}: column {column!r} is of type {schema.field(column).type}, expected lists of "
            "numbers"
        )
    if column is None and len(lists) != 1:
        raise GenretError(
            f"{name}: found {len(lists)} columns of lists of numbers ({', '.join(lists)}), "
            "expected one; name it with --vectors-column"
        )
    vector_column = column or lists[0]
    ids = [f.name for f in schema if _is_id(f.type)]
    for usual in (*USUAL_NAMES, "id"):
        named = [i for i in ids if i.lower() == usual]
        if named:
            return vector_column, named[0]
    if len(ids) == 1:
        return vector_column, ids[0]
    raise GenretError(f"{name}: found no id column, expected 'item_id' (text or integers)")


def _is_vector(kind: pa.DataType) -> bool:
    if not (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    ):
        return False
    return pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)


def _is_id(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    types = pa.types
    is_view = getattr(types, "is_string_view", lambda _: False)(kind)  # younger than our floor
    text = types.is_string(kind) or types.is_large_string(kind) or is_view
    return bool(text or types.is_integer(kind))


def _batches(
    source: pq.ParquetFile, id_column: str, vector_column: str, name: str
) -> Iterator[tuple[list[str], Vectors]]:
    """Yield ids as text and their vectors, checked, a batch at a time."""
    row = 0
    for batch in source.iter_batches(_BATCH, columns=[id_column, vector_column]):
        if batch.num_rows == 0:
            continue
        raw = batch.column(id_column)
        if raw.null_count:
            at = raw.is_null().to_pylist().index(True)
            raise GenretError(f"{name}: row {row + at} has no id")
        ids = [str(i) for i in raw.to_pylist()]
        lists = batch.column(vector_column)
        if lists.null_count:
            at = lists.is_null().to_pylist().index(True)
            raise GenretError(f"{name}: item {ids[at]!r} has no vector")
        widths = lists.value_lengths().to_numpy()
        if (widths != widths[0]).any():
            at = int(np.argmax(widths != widths[0]))
            raise GenretError(
                f"{name}: item {ids[at]!r} has a vector of {widths[at]} numbers, the items before "
                f"{widths[0]}"
            )
        flat = lists.flatten()
        values = flat.to_numpy(zero_copy_only=False).reshape(len(ids), -1)
        yield ids, check_vectors(values, f"{name}: column {vector_column!r}", ids=ids)
        row += len(ids)
