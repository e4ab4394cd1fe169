"""Reading the items: ids, titles and whatever else the files know about them."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genret.config import ColumnsConfig
from genret.data._columns import find_column
from genret.data._ids import IdEncoder, decided
from genret.data._source import Source
from genret.errors import GenretError

_DECIMAL = r"^-?[0-9]+(\.[0-9]+)?$"


@dataclasses.dataclass(frozen=True)
class Items:
    """The items of the files, one row each, in order of first appearance.

    Attributes:
      table: the catalog's columns; row ``k`` is number ``k`` of the encoder.
      rows: rows read.
      without_id: rows without an id, dropped.
      repeated: rows with the id of an earlier row, dropped.
      without_title: items shown by their id.
    """

    table: pa.Table
    rows: int
    without_id: int
    repeated: int
    without_title: int


def read_items(sources: list[Source], columns: ColumnsConfig, encoder: IdEncoder) -> Items:
    """Read the items files.

    Args:
      sources: the files.
      columns: which columns are the id and the title.
      encoder: an encoder that knows no id yet; it numbers the items.

    Returns:
      The items.

    Raises:
      GenretError: a file or a column cannot be used.
    """
    chunks, tables = [], []
    for source in sources:
        table, id_column = _read(source, columns)
        ids = table[id_column].combine_chunks()
        where = f"{source.name}: column {id_column!r}"
        chunks.append(encoder.encode(ids, untyped=source.untyped, where=where))
        tables.append(table.drop_columns([id_column]))
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as e:
        raise GenretError(f"items: the files disagree about a column: {e}") from e
    numbers = np.concatenate(chunks)
    if not len(encoder):
        raise GenretError(f"{sources[0].name}: has no items: no row with an id")
    known, first = np.unique(numbers, return_index=True)
    table = table.take(pa.array(first[known >= 0]))
    ids = encoder.ids(np.arange(len(encoder)))
    table, without_title = _with_titles(table, ids)
    if all(source.untyped for source in sources):
        table = _decide_types(table)
    without_id = int((numbers < 0).sum())
    return Items(
        table=pa.table({"item_id": ids, **{c: table[c] for c in table.column_names}}),
        rows=len(numbers),
        without_id=without_id,
        repeated=len(numbers) - without_id - len(encoder),
        without_title=without_title,
    )


def items_by_id(ids: pa.Array) -> pa.Table:
    """Return the catalog's columns where nothing but ids is known."""
    return pa.table({"item_id": ids, "title": ids.cast(pa.string())})


def _read(source: Source, columns: ColumnsConfig) -> tuple[pa.Table, str]:
    """Return a file's columns, the title's named ``title``, and the name of the id's column."""
    # The id may be named otherwise here than in the interactions.
    chosen = columns.item if columns.item in source.columns else None
    id_column = find_column(source, "item", chosen, needed=True, also=("id",))
    assert id_column is not None
    title_column = find_column(source, "title", columns.title, needed=False)
    others = [c for c in source.columns if c not in (id_column, title_column)]
    names = list(dict.fromkeys(c for c in (id_column, title_column, *others) if c is not None))
    batches = list(source.read(names))
    if not batches and source.folder is None:
        raise GenretError(f"{source.name}: has a header but no rows, expected items")
    table = pa.Table.from_batches(batches) if batches else _empty(source, names)
    for name in ("item_id", "title"):
        if name in others:
            raise GenretError(
                f"{source.name}: column {name!r} is neither the chosen id nor the chosen title; "
                "rename it"
            )
    if title_column is None:
        table = table.append_column("title", pa.nulls(table.num_rows, pa.string()))
    elif title_column == id_column:
        table = table.append_column("title", table[id_column])
    else:
        table = table.rename_columns(
            ["title" if c == title_column else c for c in table.column_names]
        )
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(i, field.name, table[i].cast(field.type.value_type))
    return table, id_column


def _empty(source: Source, names: list[str]) -> pa.Table:
    types = [pa.string() if source.schema is None else source.schema.field(n).type for n in names]
    return pa.schema(list(zip(names, types, strict=True))).empty_table()


def _with_titles(table: pa.Table, ids: pa.Array) -> tuple[pa.Table, int]:
    """Put the titles first, as strings; an item without one is shown by its id."""
    try:
        titles = table["title"].cast(pa.string()).combine_chunks()
    except pa.ArrowException as e:
        raise GenretError(f"items: the title's column has the type {table['title'].type}") from e
    blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(titles), ""), True)
    titles = pc.if_else(blank, ids.cast(pa.string()), titles)
    rest = table.drop_columns(["title"])
    return rest.add_column(0, "title", titles), int(pc.sum(blank).as_py() or 0)


def _decide_types(table: pa.Table) -> pa.Table:
    """Turn columns of text (not the title) that hold nothing but numbers into numbers."""
    for i, name in enumerate(table.column_names):
        if name == "title" or not pa.types.is_string(table[name].type):
            continue
        column = decided(table[name].combine_chunks(), declared_string=False)
        decimal = pc.all(pc.match_substring_regex(column, _DECIMAL)) if _is_str(column) else None
        if decimal is not None and decimal.as_py() and column.null_count < len(column):
            column = column.cast(pa.float64())
        table = table.set_column(i, name, column)
    return table


def _is_str(column: pa.Array) -> bool:
    return bool(pa.types.is_string(column.type))
