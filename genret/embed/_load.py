"""Vectors that the user brings, each with its id: Parquet, ``.npz``, or an array and a file of ids."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genret import tensors
from genret.checks import check_vectors
from genret.embed._brought import id_column, in_order, read_archive, read_ids
from genret.errors import GenretError
from genret.item_ids import check_companion
from genret.parquet import read_batches
from genret.tensors import read_npy
from genret.typing import PathLike, Vectors


def read_vectors(
    path: PathLike,
    item_ids: Sequence[Any] | np.ndarray,
    column: str | None = None,
    *,
    item: str | None = None,
    ids: PathLike | None = None,
    superset: bool = False,
    batch_rows: int = 16384,
) -> Vectors:
    """Read item vectors from a file, and put them in the order of a catalog.

    Vectors are matched to items by id and never by the order of the rows, because a catalog has an
    order of its own. Ids are compared as text. Vectors of items outside the catalog are left out; a
    warning is logged that says how many.

    Args:
      path: a ``.parquet`` file with a column of ids and one of lists of numbers; a ``.npz`` with an
        array ``ids`` [N] and one of vectors [N, D]; or, with ``ids``, a ``.npy`` file [N, D] or the
        folder or URL of a zarr3 array.
      item_ids: ids of the catalog, in row order.
      column: Parquet: the column of lists of numbers; None takes the only one.
      item: Parquet: the column of ids; None finds the usual names.
      ids: file with the id of each row of an array that has none, see the page on embeddings.
      superset: whether most items of the file may be outside the catalog.
      batch_rows: Parquet: rows that are read at once.

    Returns:
      float32 [N, D], row i for ``item_ids[i]``.

    Raises:
      GenretError: the file cannot be read, an array has no ids, the file lacks an item or holds it
        twice, or a vector is missing, of another width, NaN or infinite.
    """
    text = os.fspath(path)
    file = Path(text)
    if "://" not in text and not file.exists():
        raise GenretError(f"{text}: no such file (vectors)")
    suffix = file.suffix.lower()
    if suffix in (".parquet", ".pq"):
        if ids is not None:
            raise GenretError(f"{text}: has ids of its own; leave --ids out")
        return _read_parquet(file, item_ids, column, item, superset, batch_rows)
    if column is not None:
        raise GenretError(f"{text}: is no Parquet file, so it has no column {column!r}")
    if suffix == ".npz":
        if ids is not None:
            raise GenretError(f"{text}: has ids of its own; leave --ids out")
        names, found = read_archive(file)
    else:
        if suffix == ".npy":
            found = read_npy(file)
        elif "://" in text or (file / "zarr.json").is_file():
            found = tensors.read_array(text)
        else:
            raise GenretError(
                f"{text}: expected a .parquet, .npz or .npy file or a zarr3 folder of vectors"
            )
        if ids is None:
            raise GenretError(
                f"{text}: holds vectors without ids, and the rows of the catalog are in an order of "
                "their own; give --ids FILE with the id of each row, or a Parquet file with ids"
            )
        names = read_ids(Path(ids), item)
    fits = found.shape[:1] == (len(names),)
    checked = check_vectors(found, text, ids=names if fits else ())
    return in_order(names, checked, item_ids, text, superset=superset)


def _read_parquet(
    file: Path,
    item_ids: Sequence[Any] | np.ndarray,
    column: str | None,
    item: str | None,
    superset: bool,
    batch_rows: int,
) -> Vectors:
    try:
        source = pq.ParquetFile(file)
        vector_column = _vector_column(source.schema_arrow, column, str(file))
        ids_column = id_column(source.schema_arrow, item, str(file))
        rows = {str(name): row for row, name in enumerate(item_ids)}
        found: Vectors | None = None
        filled = np.zeros(len(item_ids), bool)
        outside: set[str] = set()
        batches = _batches(source, ids_column, vector_column, batch_rows, str(file))
        for ids, vectors in batches:
            if found is None:
                found = np.zeros((len(item_ids), vectors.shape[1]), np.float32)
            if vectors.shape[1] != found.shape[1]:
                raise GenretError(
                    f"{file}: item {ids[0]!r} has a vector of {vectors.shape[1]} numbers, the "
                    f"items before {found.shape[1]}"
                )
            for i, name in enumerate(ids):
                row = rows.get(name)
                if row is None:
                    outside.add(name)
                elif filled[row]:
                    raise GenretError(f"{file}: item {name!r} occurs more than once")
                else:
                    found[row] = vectors[i]
                    filled[row] = True
    except (OSError, pa.ArrowException) as e:
        reason = str(e).splitlines()[0]
        raise GenretError(f"{file}: cannot be read as Parquet: {reason}") from e
    inside = {name for name, row in rows.items() if filled[row]}
    check_companion(inside | outside, list(rows), str(file), "vectors", superset=superset)
    assert found is not None
    return found


def _vector_column(schema: pa.Schema, column: str | None, name: str) -> str:
    """Return the name of the column of vectors."""
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
    return column or lists[0]


def _is_vector(kind: pa.DataType) -> bool:
    is_list = (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or _is_view(kind)
    )
    return is_list and (
        pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    )


def _is_view(kind: pa.DataType) -> bool:
    types = pa.types
    checks = (getattr(types, name, None) for name in ("is_list_view", "is_large_list_view"))
    return any(check is not None and check(kind) for check in checks)  # younger than our floor


def _batches(
    source: pq.ParquetFile, id_column: str, vector_column: str, batch_rows: int, name: str
) -> Iterator[tuple[list[str], Vectors]]:
    """Yield ids as text and their vectors, checked, a batch at a time."""
    row = 0
    for batch in read_batches(source, batch_rows, [id_column, vector_column]):
        if batch.num_rows == 0:
            continue
        raw = batch.column(id_column)
        if raw.null_count:
            at = raw.is_null().to_pylist().index(True)
            raise GenretError(f"{name}: row {row + at} has no id")
        ids = [str(i) for i in raw.to_pylist()]
        lists = batch.column(vector_column)
        if _is_view(lists.type):
            lists = lists.cast(pa.large_list(lists.type.value_type))
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
