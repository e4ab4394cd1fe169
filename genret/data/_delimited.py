"""CSV, TSV and RecBole's atomic files as streams of record batches, every record accounted for."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from genret.data import _streams
from genret.data._source import Source
from genret.data._streams import LineEndsWhole, open_text, read_blocks, reading
from genret.data._text_records import TextRecords, count_records
from genret.errors import GenretError

_RECBOLE_TYPES = ("token", "token_seq", "float", "float_seq")
_OTHER_DELIMITERS = ";\t|"
_DOUBTFUL_LINES = {"CSV": 4, "TSV": 2}
"""Lines of a quoted field, all of them whole records if quotes are characters, from which on it is
refused. Text with line ends is common in CSV, text with tabs is not in TSV."""


def open_delimited(path: Path, compression: str | None, kind: str) -> Source:
    """Open a delimited text file.

    The file is read once to count its records and to check its quotes. A CSV file with a stray
    quote is refused with its line. In TSV quotes enclose fields only if all of them do so
    consistently; otherwise tabs separate and nothing else has a meaning.

    Args:
      path: the file.
      compression: how it is compressed.
      kind: "CSV", "TSV" or "RecBole".

    Raises:
      GenretError: its quotes or its header cannot be used.
    """
    recbole = kind == "RecBole"
    with reading(path, kind):
        delimiter = _delimiter(path, compression) if kind == "CSV" else "\t"
        records = count_records(read_blocks(path, compression), delimiter)
    quoting = not recbole and _quoting(records, path, kind)
    count = records.quoted if quoting else records.unquoted

    def open_csv(stream: pa.NativeFile, columns: Sequence[str] = ()) -> Any:
        lines_in_values = quoting and records.has_quotes
        return pa.csv.open_csv(
            pa.PythonFile(LineEndsWhole(stream), "r") if lines_in_values else stream,
            # One thread: then Arrow knows the number of a bad row.
            read_options=pa.csv.ReadOptions(block_size=_streams.BLOCK_BYTES, use_threads=False),
            parse_options=pa.csv.ParseOptions(
                delimiter=delimiter,
                quote_char='"' if quoting else False,
                newlines_in_values=lines_in_values,
            ),
            convert_options=pa.csv.ConvertOptions(
                include_columns=list(columns),
                column_types=dict.fromkeys(columns, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )

    with reading(path, kind), open_text(path, compression) as stream:
        header = open_csv(stream).schema.names
    kinds = [_recbole_type(path, cell) for cell in header] if recbole else []
    names = [cell.rpartition(":")[0] for cell in header] if recbole else header
    if any(len(name) > 1 and name[0] == name[-1] == "'" for name in names):
        raise GenretError(
            f"{path}: found the header cell {header[0]!r}, expected double quotes around fields"
        )
    cell_of = dict(zip(names, header, strict=True))

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        rows = 0
        with reading(path, kind), open_text(path, compression) as stream:
            for batch in open_csv(stream, [cell_of[c] for c in columns]):
                rows += batch.num_rows
                yield batch.rename_columns(list(columns))
        if rows != count - 1:
            raise GenretError(
                f"{path}: has {count} records in its lines, a header and {count - 1} rows, but "
                f"the parser found {rows} rows"
            )

    said = [f"{kind} separated by {delimiter!r}" if kind == "CSV" and delimiter != "," else kind]
    if records.has_quotes and not quoting and not recbole:
        said.append("quotes are characters")
    return Source(
        name=str(path),
        columns=tuple(names),
        untyped=True,
        read=read,
        first_line=2 if records.lines == count else None,
        format=", ".join([*said, *([compression] if compression else [])]),
        lists=frozenset(n for n, k in zip(names, kinds, strict=False) if k.endswith("_seq")),
    )


def _delimiter(path: Path, compression: str | None) -> str:
    """Return the comma, or what else separates the header's cells where it has no comma.

    What stands in quotes separates nothing.

    Raises:
      GenretError: every line can be cut into the same number of fields in more than one way.
    """
    with open_text(path, compression) as stream:
        head = stream.read(1 << 16)
    without_quoted = re.sub(rb'"[^"]*"', b'""', head)
    lines = [line for line in without_quoted.splitlines() if line.strip()]
    header = lines[0] if lines else b""
    if len(head) == 1 << 16:
        lines = lines[:-1] or lines  # the last one may be cut off
    counts = {d: header.count(d.encode()) for d in (",", *_OTHER_DELIMITERS)}
    even = [
        d for d, count in counts.items()
        if count and all(line.count(d.encode()) == count for line in lines)
    ]  # fmt: skip
    if len(even) > 1:
        raise GenretError(
            f"{path}: found lines that can be separated by any of {' '.join(map(repr, even))}, "
            "expected fields in quotes where they hold one of these"
        )
    if counts[","]:
        return ","
    most = max(counts, key=lambda d: counts[d])
    return most if counts[most] else ","


def _quoting(records: TextRecords, path: Path, kind: str) -> bool:
    """Say whether quotes enclose fields; refuse those that cannot be read one way only."""
    if records.stray_line and kind == "CSV":
        inside = records.opened_line
        where = f" (inside the field that a quote opens on line {inside})" if inside else ""
        raise GenretError(
            f"{path}: line {records.stray_line}: found a quote that neither opens nor closes a "
            f"field{where}, expected quotes around a whole field and doubled inside it"
        )
    if not records.stray_line and records.doubtful_lines >= _DOUBTFUL_LINES[kind]:
        last = records.doubtful_line + records.doubtful_lines - 1
        raise GenretError(
            f"{path}: lines {records.doubtful_line} to {last}: found a field in quotes that runs "
            "over lines each of which is a whole record by itself, expected quotes in pairs"
        )
    return not records.stray_line


def _recbole_type(path: Path, cell: str) -> str:
    _, colon, kind = cell.rpartition(":")
    if not colon or kind not in _RECBOLE_TYPES:
        raise GenretError(
            f"{path}: found the header cell {cell[:40]!r}, expected name:type with a type of "
            f"{', '.join(_RECBOLE_TYPES)}"
        )
    return kind
