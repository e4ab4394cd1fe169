"""Items that come to a catalog, and items that leave it: read from files, checked against it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from genret.config import ColumnsConfig
from genret.data._catalog import Catalog
from genret.data._column_kinds import as_type
from genret.data._columns import find_column, listed
from genret.data._ids import IdEncoder
from genret.data._items import read_items
from genret.data._rejected import Rejected
from genret.data._source import Source
from genret.data._sources import open_sources
from genret.errors import GenretError

_NAMED = 3
"""Items that a message names."""


class NewItems(NamedTuple):
    """Items that a catalog does not have.

    Attributes:
      table: their rows, with the columns of the catalog in its types.
      left_out: columns of the files that the catalog does not have.
    """

    table: pa.Table
    left_out: tuple[str, ...]


def read_new_items(
    files: Any,
    catalog: Catalog,
    columns: ColumnsConfig | None = None,
    *,
    item: str | None = None,
    title: str | None = None,
) -> NewItems:
    """Read items that come to a catalog.

    Args:
      files: files or tables of items, as :func:`genret.data.ingest` takes them.
      catalog: the catalog that they come to.
      columns: which columns were the id and the title when the catalog was read; they are taken
        where the files have them.
      item: column of the id; None takes that of ``columns``, or finds the usual names.
      title: column of the title, likewise.

    Returns:
      The items, in the order of the files.

    Raises:
      GenretError: a file that cannot be read, a column of the catalog that is missing or of another
        type, a row without an id, an item that occurs twice or that the catalog has.

    >>> catalog = Catalog(pa.table({"item_id": ["a"], "title": ["Alien"], "price": [9.5]}))
    >>> read_new_items(pa.table({"id": ["b"], "title": ["Aliens"], "price": [12]}), catalog).table
    pyarrow.Table
    item_id: string
    title: string
    price: double
    ----
    item_id: [["b"]]
    title: [["Aliens"]]
    price: [[12]]
    """
    sources = open_sources(files, "items")
    own = [field for field in catalog.table.schema if field.name not in ("item_id", "title")]
    for source in sources:
        asked = [name for name in (item, title) if name is not None]
        _check_columns(source, asked, "")
        _check_columns(source, [field.name for field in own], ", which the catalog has")
    texts = tuple(field.name for field in own if field.type in (pa.string(), pa.large_string()))
    told = columns or ColumnsConfig()
    if title is None and all(told.title in source.columns for source in sources):
        title = told.title
    named = ColumnsConfig(item=item or told.item, title=title, text=texts)
    found = read_items(sources, named, IdEncoder(), Rejected(sources))
    name = sources[0].name
    if found.without_id:
        raise GenretError(f"{name}: {found.without_id} of {found.rows} rows have no item id")
    if found.repeated:
        raise GenretError(
            f"{name}: {found.repeated} of {found.rows} rows have the id of an earlier row, "
            "expected every item once"
        )
    untitled = [s.name for s, role in zip(sources, found.roles, strict=True) if not role["title"]]
    if untitled and catalog.titles != [str(item) for item in catalog.item_ids]:
        raise GenretError(
            f"{untitled[0]}: has no column of titles, which the catalog has; its columns are "
            f"{listed(sources[0].columns)}; name one with --title"
        )
    ids = _ids_as(found.table["item_id"], catalog, name)
    known = set(catalog.item_ids.tolist())
    again = [item for item in ids.to_pylist() if item in known]
    if again:
        raise GenretError(
            f"{name}: {len(again):,} of its {len(ids):,} items are in the catalog already, such as "
            f"{', '.join(map(repr, again[:_NAMED]))}; leave them out"
        )
    arrays = [ids, found.table["title"].cast(pa.string())]
    arrays += [_column_as(found.table[field.name], field, name) for field in own]
    schema = catalog.table.schema
    by_name = dict(zip(("item_id", "title", *(field.name for field in own)), arrays, strict=True))
    table = pa.table([by_name[field.name] for field in schema], schema=schema)
    left_out = set(found.table.column_names) - set(schema.names)
    return NewItems(table, tuple(sorted(left_out)))


def read_item_ids(files: Any, item: str | None = None) -> list[str]:
    """Read the ids of items from files of any known format.

    Args:
      files: files or tables, see :func:`genret.data.ingest`.
      item: the column of ids; None finds the usual names.

    Returns:
      The ids as text, in order, each once.

    Raises:
      GenretError: a file that cannot be read, without such a column, or without an id.
    """
    encoder = IdEncoder()
    sources = open_sources(files, "items")
    for source in sources:
        column = find_column(source, "item", item, needed=True, also=("id",))
        assert column is not None
        for batch in source.read([column]):
            where = f"{source.name}: column {column!r}"
            encoder.encode(batch.column(0), untyped=source.untyped, where=where)
    if not len(encoder):
        raise GenretError(f"{sources[0].name}: has no item id")
    found: list[str] = encoder.texts(np.arange(len(encoder))).to_pylist()
    return found


def _check_columns(source: Source, needed: Sequence[str], reason: str) -> None:
    missing = [name for name in needed if name not in source.columns]
    if missing:
        raise GenretError(
            f"{source.name}: has no column {', '.join(map(repr, missing))}{reason}; "
            f"its columns are {listed(source.columns)}"
        )


def _ids_as(ids: pa.ChunkedArray, catalog: Catalog, name: str) -> pa.Array:
    """Return ids in the type of the catalog's."""
    kind = catalog.table.schema.field("item_id").type
    whole = pa.chunked_array(ids.chunks, ids.type).combine_chunks()
    if pa.types.is_int64(kind) and not pa.types.is_int64(whole.type):
        odd = next((i for i in whole.to_pylist() if not i.lstrip("-").isdigit()), whole[0].as_py())
        raise GenretError(
            f"{name}: found the item id {odd!r} of text, expected integers as in the catalog"
        )
    return whole.cast(kind)


def _column_as(column: pa.ChunkedArray, field: pa.Field, name: str) -> pa.Array:
    """Return a column in the type of the catalog's column of its name."""
    whole = column.combine_chunks()
    try:
        return as_type(whole, field.type)
    except pa.ArrowException as e:
        first = next((value for value in whole.to_pylist() if value is not None), None)
        raise GenretError(
            f"{name}: column {field.name!r}: found {whole.type} such as {str(first)[:40]!r}, "
            f"expected {field.type} as in the catalog"
        ) from e
