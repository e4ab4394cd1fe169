"""Readers: every supported file format as a stream of Arrow record batches.

Formats go by the extension, before an optional ``.gz``, ``.gzip``, ``.zst`` or ``.zstd``:

==========================  =====================================================================
``.parquet``, ``.pq``       Parquet
``.csv``; ``.tsv``          text with a header, quoted with ``"`` where needed, UTF-8
``.jsonl``, ``.ndjson``     one JSON object a line
``.inter``, ``.item``       RecBole atomic files: tab-separated, header cells ``name:type``
``inter.json``, ``item.json``  the JSON family of LC-Rec (see :mod:`genret.data._semantic_json`)
``.txt``                    lines of ids without a header (see :mod:`genret.data._layouts`)
a folder                    its files (see :mod:`genret.data._folders`)
==========================  =====================================================================

Only an empty field is a null in CSV and TSV. Fields of text formats are read as text, and the
types of columns are decided later, over the whole column: a guess from the first block could be
wrong about the last.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from genret.config import IngestConfig
from genret.data._arrow_types import plain_batch, plain_schema
from genret.data._delimited import open_delimited
from genret.data._folders import open_parts
from genret.data._json_lines import open_json_lines
from genret.data._layouts import open_id_lines
from genret.data._semantic_json import read_inter_json, read_item_json
from genret.data._source import Source
from genret.data._streams import compression_of, read_document, reading
from genret.errors import GenretError
from genret.parquet import read_batches

BATCH_ROWS = 1 << 17
"""Rows of a batch from Parquet."""
DOCUMENT_MIB = IngestConfig().document_mib

_COMPRESSIONS = {"gz": "gzip", "gzip": "gzip", "zst": "zstd", "zstd": "zstd"}
_FORMATS = {
    "parquet": "Parquet", "pq": "Parquet", "csv": "CSV", "tsv": "TSV", "inter": "RecBole",
    "item": "RecBole", "jsonl": "JSONL", "ndjson": "JSONL", "txt": "id lines",
}  # fmt: skip
_KNOWN = (
    ".parquet, .csv, .tsv, .jsonl, .inter, .item, .txt (the text formats also with .gz or .zst), "
    "inter.json or item.json"
)


def open_sources(
    data: Any, what: str, *, layout: str = "auto", document_mib: int = DOCUMENT_MIB
) -> list[Source]:
    """Open paths or tables for reading.

    Args:
      data: a path, a table (anything with ``__arrow_c_stream__``: pyarrow, polars, pandas,
        DuckDB), or a sequence of these.
      what: what the data is, for errors ("interactions", "items").
      layout: what lines of ids are: "s3rec", "sasrec", or "auto".
      document_mib: the most text of an ``inter.json`` or ``item.json``, after decompression, in MiB.

    Returns:
      A source for each file or table.

    Raises:
      GenretError: no data, no such file, an unknown format, or a file whose beginning cannot be
        read.
    """
    if isinstance(data, str | Path) or hasattr(data, "__arrow_c_stream__"):
        data = [data]
    sources = [source for each in data for source in _open(each, what, layout, document_mib)]
    if not sources:
        raise GenretError(f"{what}: no files given")
    for source in sources:
        twice = sorted({c for c in source.columns if source.columns.count(c) > 1})
        if twice:
            raise GenretError(f"{source.name}: column {twice[0]!r} occurs more than once")
    return sources


def _open(data: Any, what: str, layout: str, document_mib: int) -> list[Source]:
    if hasattr(data, "__arrow_c_stream__"):
        try:
            table = pa.table(data)
        except (pa.ArrowException, TypeError, ValueError) as e:
            reason = str(e).splitlines()[0][:200] if str(e) else type(e).__name__
            raise GenretError(f"{what}: the table cannot be read by Arrow: {reason}") from e
        return [_table(table, what, untyped=False, kind="table")]
    path = Path(data)
    if path.is_dir():
        return open_parts(
            path, _part_format, lambda part: _open_file(part, what, layout, document_mib, True)
        )
    if not path.is_file():
        raise GenretError(f"{path}: no such file ({what})")
    if path.stat().st_size == 0:
        raise GenretError(f"{path}: is empty, expected {what}")
    return [_open_file(path, what, layout, document_mib, False)]


def _format_of(path: Path) -> tuple[str | None, str | None]:
    """Return a file's format and its compression, by its name; None: unknown, not compressed."""
    parts = path.name.lower().split(".")
    compression = _COMPRESSIONS.get(parts[-1])
    if compression:
        parts.pop()
    if len(parts) < 2:
        return None, compression
    if parts[-2:] in (["inter", "json"], ["item", "json"]):
        return f"{parts[-2]}.json", compression
    kind = _FORMATS.get(parts[-1])
    return (None if kind == "Parquet" and compression else kind), compression


def _part_format(path: Path) -> str | None:
    """Return the format of a part; Spark calls its JSON lines ``part-0.json``."""
    kind, compression = _format_of(path)
    if kind is None and ".json" in (path.suffixes[-2:] if compression else path.suffixes[-1:]):
        return "JSONL"
    return kind


def _open_file(path: Path, what: str, layout: str, document_mib: int, is_part: bool) -> Source:
    kind, declared = _format_of(path)
    if is_part and kind is None:
        kind = _part_format(path)
    if kind == "Parquet":
        return _parquet(path)
    if kind is None:
        hint = ""
        if path.name.lower().endswith("index.json"):
            hint = "; a file of semantic IDs goes to `genret tokenize --codes`"
        raise GenretError(f"{path}: unknown format; expected {_KNOWN}{hint}")
    with reading(path, kind):
        compression = compression_of(path, declared)
    match kind:
        case "CSV" | "TSV" | "RecBole":
            return open_delimited(path, compression, kind)
        case "JSONL":
            return open_json_lines(path, compression)
        case "id lines":
            return open_id_lines(path, compression, layout)
    with reading(path, "JSON"):
        text = read_document(path, compression, document_mib)
    if kind == "item.json":
        return _table(read_item_json(text, str(path)), str(path), untyped=True, kind=kind)
    table, empty = read_inter_json(text, str(path))
    note = (("users with an empty list", empty, "without events"),) if empty else ()
    return _table(table, str(path), untyped=True, kind=kind, notes=note)


def _table(
    table: pa.Table,
    name: str,
    *,
    untyped: bool,
    kind: str,
    notes: tuple[tuple[str, int, str], ...] = (),
) -> Source:
    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for batch in table.select(list(columns)).to_batches(max_chunksize=BATCH_ROWS):
            yield plain_batch(batch)

    schema = plain_schema(table.schema)
    return Source(name, tuple(table.column_names), untyped, read, schema, format=kind, notes=notes)


def _parquet(path: Path) -> Source:
    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with (
            reading(path, "Parquet"),
            pa.parquet.ParquetFile(path, page_checksum_verification=True) as file,
        ):
            for batch in read_batches(file, BATCH_ROWS, columns):
                yield plain_batch(batch)

    with reading(path, "Parquet"):
        schema = plain_schema(pa.parquet.read_schema(path))
    return Source(str(path), tuple(schema.names), False, read, schema, format="Parquet")
