"""Reading the items: ids, titles and whatever else the files know about them."""

import contextlib
import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genret.config import ColumnsConfig
from genret.data._catalog import TEXT_COLUMNS
from genret.data._column_kinds import decide_dates, decide_type, kind_of
from genret.data._columns import find_column, listed
from genret.data._ids import IdEncoder
from genret.data._rejected import Rejected
from genret.data._source import Source
from genret.errors import GenretError


@dataclasses.dataclass(frozen=True)
class Items:
    """The items of the files, one row each, in order of first appearance.

    Attributes:
      table: the catalog's columns; row ``k`` is number ``k`` of the encoder.
      rows: rows read.
      without_id: rows without an id, dropped.
      repeated: rows with the id of an earlier row, dropped.
      without_title: items shown by their id.
      roles: for each file, which column was taken for what.
      kinds: what each column of the table but the id is, for the report.
    """

    table: pa.Table
    rows: int
    without_id: int
    repeated: int
    without_title: int
    roles: list[dict[str, str]]
    kinds: dict[str, str]


def read_items(
    sources: list[Source], columns: ColumnsConfig, encoder: IdEncoder, rejected: Rejected
) -> Items:
    """Read the items files.

    Args:
      sources: the files.
      columns: which columns are the id and the title.
      encoder: an encoder that knows no id yet; it numbers the items.
      rejected: takes the rows that are left out.

    Returns:
      The items.

    Raises:
      GenretError: a file or a column cannot be used.
    """
    chunks, tables, roles = [], [], []
    count = 0
    for source in sources:
        rejected.begin(count)
        table, id_column, title_column = _read(source, columns)
        count += len(table)
        ids = table[id_column].combine_chunks()
        where = f"{source.name}: column {id_column!r}"
        chunks.append(encoder.encode(ids, untyped=source.untyped, where=where))
        tables.append(table.drop_columns([id_column]))
        roles.append({"item": id_column, "title": title_column or ""})
    numbers = np.concatenate(chunks)
    if not len(encoder):
        raise GenretError(f"{sources[0].name}: has no items: no row with an id")
    table = _decide_types(_united(tables), sources, columns.text)
    known, first = np.unique(numbers, return_index=True)
    kept = np.zeros(len(numbers), bool)
    kept[first[known >= 0]] = True
    rejected.add("no item", np.flatnonzero(numbers < 0))
    rejected.add("the item has an earlier row", np.flatnonzero(~kept & (numbers >= 0)))
    table = table.take(pa.array(first[known >= 0]))
    ids = encoder.ids(np.arange(len(encoder)))
    table, without_title = _with_titles(table, ids)
    without_id = int((numbers < 0).sum())
    table = _with_text(table, columns.text, sources[0].name)
    return Items(
        table=table.add_column(0, "item_id", ids),
        rows=len(numbers),
        without_id=without_id,
        repeated=len(numbers) - without_id - len(encoder),
        without_title=without_title,
        roles=roles,
        kinds={f.name: _kind(f, columns.text) for f in table.schema},
    )


def _united(tables: list[pa.Table]) -> pa.Table:
    """Put the tables of all files together, by the names of their columns."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as e:
        raise GenretError(f"items: the files disagree about a column: {e}") from e


def items_by_id(ids: pa.Array) -> pa.Table:
    """Return the catalog's columns where nothing but ids is known."""
    return pa.table({"item_id": ids, "title": ids.cast(pa.string())})


def _read(source: Source, columns: ColumnsConfig) -> tuple[pa.Table, str, str | None]:
    """Return a file's columns, the title's named ``title``, and the names of the id's and title's.

    The title is None where the file has none.
    """
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
    return table, id_column, title_column


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


def _decide_types(table: pa.Table, sources: list[Source], as_text: tuple[str, ...]) -> pa.Table:
    """Turn columns of text into what they look like, if the formats of all files have no types."""
    untyped = all(source.untyped for source in sources)
    json_lines = all(source.format.startswith("JSONL") for source in sources)
    for i, field in enumerate(table.schema):
        column = table[field.name].combine_chunks()
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            with contextlib.suppress(pa.ArrowInvalid):  # no text: it stays what it is
                column = column.cast(pa.large_string())
        elif field.name == "title" or field.name in as_text or not _is_str(field.type):
            continue
        elif untyped:
            column = decide_type(column)
        elif json_lines:
            column = decide_dates(column)
        table = table.set_column(i, field.name, column)
    return table


def _is_str(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _with_text(table: pa.Table, chosen: tuple[str, ...], name: str) -> pa.Table:
    """Record which columns are embedded as text, if they were chosen explicitly."""
    if not chosen:
        return table
    for column in chosen:
        if column not in table.column_names:
            raise GenretError(
                f"{name}: has no column {column!r} (--text); its columns are "
                f"{listed(table.column_names)}"
            )
    return table.replace_schema_metadata({TEXT_COLUMNS: json.dumps(list(chosen))})


def _kind(field: pa.Field, chosen: tuple[str, ...]) -> str:
    if field.name in chosen:
        return "text"
    kind = kind_of(field.type)
    return "other" if chosen and kind == "text" else kind
