"""JSON lines: one object a line, whose fields may appear, vanish and change type anywhere.

The file is read twice. The first time finds every field and the types that it takes over all
lines; the second time reads fields as one type each: whole numbers, numbers, truths, text, lists
or objects of these, and text where a field mixes kinds (the number 5 and the text "5" are "5").
So the answer does not depend on the order of the lines. Arrow parses blocks whose fields it can
read so; Python parses the others, and finds the line of what is wrong.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json

from genret.data._json_kinds import Kind
from genret.data._source import Source
from genret.data._streams import read_line_blocks, reading
from genret.errors import GenretError

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def open_json_lines(path: Path, compression: str | None) -> Source:
    """Open a file of JSON lines.

    Raises:
      GenretError: a line is no JSON object, has a field twice, or holds no valid Unicode.
    """
    whole = Kind()
    whole.atoms.add("object")
    lines = True  # is every line a row?
    with reading(path, "JSONL"):
        for first_line, block in read_line_blocks(path, compression):
            lines = lines and b"\n\n" not in block and b"\n\r\n" not in block
            found = _inferred(block)
            if found is not None:
                whole.add_type(pa.struct(found))
                continue
            for _, row in _rows(path, first_line, block):
                whole.add(row)
    if not whole.fields:
        raise GenretError(f"{path}: cannot be read as JSONL: it has no rows")
    kinds = whole.fields
    schema = pa.schema([(name, kind.type()) for name, kind in kinds.items()])

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        wanted = pa.schema([schema.field(c) for c in columns])
        plain = all(kinds[c].is_plain() for c in columns)
        with reading(path, "JSONL"):
            for first_line, block in read_line_blocks(path, compression):
                table = _parsed(block, wanted) if plain else None
                if table is None:
                    table = _converted(path, first_line, block, wanted, kinds)
                yield from table.to_batches()

    return Source(
        name=str(path),
        columns=tuple(kinds),
        untyped=False,
        read=read,
        schema=schema,
        first_line=1 if lines else None,
        format="JSONL" + (f", {compression}" if compression else ""),
    )


def _inferred(block: bytes) -> pa.Schema | None:
    """Return the schema that Arrow finds in a block; None where it cannot read it."""
    table = _read(block, None)
    return None if table is None else table.schema


def _parsed(block: bytes, schema: pa.Schema) -> pa.Table | None:
    options = pa.json.ParseOptions(
        explicit_schema=schema, unexpected_field_behavior="ignore", newlines_in_values=True
    )
    return _read(block, options)


def _read(block: bytes, parse_options: Any) -> pa.Table | None:
    options = pa.json.ReadOptions(block_size=len(block) + 1, use_threads=False)
    try:
        block.decode()
        table = pa.json.read_json(io.BytesIO(block), options, parse_options)
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    lines = sum(1 for line in block.split(b"\n") if line.strip())
    # Arrow also reads two objects on one line, or one on two; a row is a line here.
    return table if table.num_rows == lines else None


def _rows(path: Path, first_line: int, block: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Parse a block line by line; yield each line's number and object."""
    for number, line in enumerate(block.split(b"\n"), first_line):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            text = line.decode()
            row = json.loads(text, object_pairs_hook=_unique)
            if _SURROGATE.search(text):
                json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as e:
            raise GenretError(f"{where}: found half of a surrogate pair, which is no text") from e
        except UnicodeDecodeError as e:
            raise GenretError(f"{where}: is not valid UTF-8") from e
        except json.JSONDecodeError as e:
            raise GenretError(
                f"{where}: cannot be read as JSON: {e.msg} at column {e.colno}"
            ) from e
        except (ValueError, RecursionError) as e:
            raise GenretError(f"{where}: cannot be read as JSON: {str(e)[:120]}") from e
        if not isinstance(row, dict):
            raise GenretError(f"{where}: found {_name(row)}, expected a JSON object")
        yield number, row


def _converted(
    path: Path, first_line: int, block: bytes, schema: pa.Schema, kinds: dict[str, Kind]
) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    for _, row in _rows(path, first_line, block):
        for name, values in columns.items():
            values.append(kinds[name].convert(row.get(name)))
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key[:40]!r} occurs more than once")
            seen.add(key)
    return found


def _name(value: Any) -> str:
    return {list: "an array", str: "a text", bool: "a truth"}.get(type(value), "a number")
