"""Readers: every supported file format as a stream of Arrow record batches.

Formats go by the extension, before an optional ``.gz``, ``.gzip``, ``.zst`` or ``.zstd``:

==========================  =====================================================================
``.parquet``, ``.pq``       Parquet; a folder stands for the Parquet files in it, by name
``.csv``; ``.tsv``          text with a header, quoted with ``"`` where needed, UTF-8
``.jsonl``, ``.ndjson``     one JSON object a line
``.inter``, ``.item``       RecBole atomic files: tab-separated, header cells ``name:type``
``inter.json``, ``item.json``  the JSON family of LC-Rec (see :mod:`genret.data._semantic_json`)
==========================  =====================================================================

Only an empty field is a null in CSV and TSV. Fields of text formats are read as text, and the
types of columns are decided later, over the whole column: a guess from the first block could be
wrong about the last.
"""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from genret.data._semantic_json import read_inter_json, read_item_json
from genret.errors import GenretError

BLOCK_BYTES = 8 << 20
"""Text is parsed in blocks of this size; a line over three is refused (an unclosed quote, junk)."""

BATCH_ROWS = 1 << 17
"""Rows of a batch from Parquet."""

_COMPRESSIONS = {"gz": "gzip", "gzip": "gzip", "zst": "zstd", "zstd": "zstd"}
_RECBOLE_TYPES = ("token", "token_seq", "float", "float_seq")


@dataclasses.dataclass(frozen=True)
class Source:
    """A table that can be read batch by batch.

    Attributes:
      name: what to call it in errors (the path).
      columns: names of its columns.
      untyped: whether ids are text of an undecided type (``"12"`` may be the integer 12).
      read: gives the batches of the named columns; each call starts again.
      schema: types of the columns; None where a format has none (CSV).
    """

    name: str
    columns: tuple[str, ...]
    untyped: bool
    read: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
    schema: pa.Schema | None = None


def open_sources(data: Any, what: str) -> list[Source]:
    """Open paths or tables for reading.

    Args:
      data: a path, a table (anything with ``__arrow_c_stream__``: pyarrow, polars, pandas,
        DuckDB), or a sequence of these.
      what: what the data is, for errors ("interactions", "items").

    Returns:
      A source for each file or table.

    Raises:
      GenretError: no data, no such file, an unknown format, or a file whose beginning cannot be
        read.
    """
    if isinstance(data, str | Path) or hasattr(data, "__arrow_c_stream__"):
        data = [data]
    sources = [source for each in data for source in _open(each, what)]
    if not sources:
        raise GenretError(f"{what}: no files given")
    for source in sources:
        twice = sorted({c for c in source.columns if source.columns.count(c) > 1})
        if twice:
            raise GenretError(f"{source.name}: column {twice[0]!r} occurs more than once")
    return sources


def _open(data: Any, what: str) -> list[Source]:
    if hasattr(data, "__arrow_c_stream__"):
        return [_table(pa.table(data), what, untyped=False)]
    path = Path(data)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in (".parquet", ".pq"))
        if not files:
            raise GenretError(f"{path}: is a folder without Parquet files")
        return [_parquet(p) for p in files]
    if not path.is_file():
        raise GenretError(f"{path}: no such file ({what})")
    parts = path.name.lower().split(".")
    compression = _COMPRESSIONS.get(parts[-1])
    if compression:
        parts.pop()
    if path.stat().st_size == 0:
        raise GenretError(f"{path}: is empty, expected {what}")
    match parts:
        case [*_, "parquet" | "pq"] if not compression:
            source = _parquet(path)
        case [*_, "csv"]:
            source = _delimited(path, compression, "CSV", ",")
        case [*_, "tsv"]:
            source = _delimited(path, compression, "TSV", "\t")
        case [*_, "inter" | "item"]:
            source = _delimited(path, compression, "RecBole", "\t")
        case [*_, "jsonl" | "ndjson"]:
            source = _json_lines(path, compression)
        case [*_, "inter", "json"]:
            with _reading(path, "JSON"), _stream(path, compression) as stream:
                source = _table(read_inter_json(stream.read(), str(path)), str(path), untyped=True)
        case [*_, "item", "json"]:
            with _reading(path, "JSON"), _stream(path, compression) as stream:
                source = _table(read_item_json(stream.read(), str(path)), str(path), untyped=True)
        case _:
            raise GenretError(
                f"{path}: unknown format; expected .parquet, .csv, .tsv, .jsonl, .inter, .item "
                "(the text formats also with .gz or .zst), inter.json or item.json"
            )
    return [source]


def _table(table: pa.Table, name: str, *, untyped: bool) -> Source:
    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from table.select(list(columns)).to_batches(max_chunksize=BATCH_ROWS)

    return Source(name, tuple(table.column_names), untyped, read, table.schema)


def _parquet(path: Path) -> Source:
    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with _reading(path, "Parquet"), pa.parquet.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS, columns=list(columns))

    with _reading(path, "Parquet"):
        schema = pa.parquet.read_schema(path)
    return Source(str(path), tuple(schema.names), False, read, schema)


def _delimited(path: Path, compression: str | None, kind: str, delimiter: str) -> Source:
    recbole = kind == "RecBole"

    def open_csv(stream: pa.NativeFile, columns: Sequence[str] = ()) -> Any:
        return pa.csv.open_csv(
            stream,
            # One thread: then Arrow knows the number of a bad row.
            read_options=pa.csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
            parse_options=pa.csv.ParseOptions(
                delimiter=delimiter,
                quote_char=False if recbole else '"',
                newlines_in_values=not recbole,
            ),
            convert_options=pa.csv.ConvertOptions(
                include_columns=list(columns),
                column_types=dict.fromkeys(columns, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )

    with _reading(path, kind), _stream(path, compression) as stream:
        header = open_csv(stream).schema.names
    names = [_recbole_name(path, cell) for cell in header] if recbole else header
    cell_of = dict(zip(names, header, strict=True))

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with _reading(path, kind), _stream(path, compression) as stream:
            for batch in open_csv(stream, [cell_of[c] for c in columns]):
                yield batch.rename_columns(list(columns))

    return Source(str(path), tuple(names), True, read)


def _recbole_name(path: Path, cell: str) -> str:
    name, colon, kind = cell.rpartition(":")
    if not colon or kind not in _RECBOLE_TYPES:
        raise GenretError(
            f"{path}: found the header cell {cell[:40]!r}, expected name:type with a type of "
            f"{', '.join(_RECBOLE_TYPES)}"
        )
    return name


def _json_lines(path: Path, compression: str | None) -> Source:
    options = pa.json.ReadOptions(block_size=BLOCK_BYTES, use_threads=False)
    with _reading(path, "JSONL"), _stream(path, compression) as stream:
        schema = pa.schema(
            pa.field(f.name, _json_type(f.type))
            for f in pa.json.open_json(stream, read_options=options).schema
        )

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        rows = 0
        explicit = pa.json.ParseOptions(
            explicit_schema=pa.schema([schema.field(c) for c in columns]),
            unexpected_field_behavior="ignore",
        )
        with _stream(path, compression) as stream:
            with _reading(path, "JSONL"):
                reader = pa.json.open_json(stream, read_options=options, parse_options=explicit)
            while True:
                with _reading(path, "JSONL", rows):
                    try:
                        batch = reader.read_next_batch()
                    except StopIteration:
                        return
                rows += batch.num_rows
                yield batch

    return Source(str(path), tuple(schema.names), False, read, schema)


def _json_type(inferred: pa.DataType) -> pa.DataType:
    """Return the type to read: text that looks like dates, or only nulls so far, is text."""
    text = pa.types.is_timestamp(inferred) or pa.types.is_null(inferred)
    return pa.string() if text else inferred


def _stream(path: Path, compression: str | None) -> Any:
    return pa.input_stream(str(path), compression=compression)


@contextlib.contextmanager
def _reading(path: Path, kind: str, rows: int = 0) -> Iterator[None]:
    """Turn what Arrow says about a file, of which rows are read, into one clear line."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as e:
        text = str(e).splitlines()[0] if str(e) else type(e).__name__
        if "straddling" in text:
            text = f"a line is longer than {BLOCK_BYTES >> 20} MiB (an unclosed quote?)"
        elif "Empty CSV" in text:
            text = "it has no rows"
        elif json_row := re.search(r"in row (\d+)$", text):  # Arrow counts from 0, in the block
            text = f"{text[: json_row.start()]}in row {rows + int(json_row[1]) + 1}"
        text = "".join(c if c.isprintable() else "?" for c in text[:200])
        raise GenretError(f"{path}: cannot be read as {kind}: {text}") from e
