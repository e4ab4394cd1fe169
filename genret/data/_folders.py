"""Folders of parts as Spark, Hive and pandas write them.

A folder stands for the files in it and in its sub-folders, in the order of their paths, part by
part of the path. Names that begin with ``_`` or ``.`` are skipped with all they hold
(``_SUCCESS``, ``.part-0.crc``, macOS' ``._part-0``). A sub-folder ``key=value`` gives each file
below it a column ``key``, unless the file has such a column itself.
"""

import dataclasses
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from genret.data._source import Source
from genret.errors import GenretError

_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclasses.dataclass(frozen=True)
class Part:
    """A file of a folder.

    Attributes:
      path: where it is.
      keys: the columns that its folders' names give it; None is a null.
    """

    path: Path
    keys: dict[str, str | None]


def find_parts(folder: Path) -> list[Part]:
    """Return the files of a folder, in order; empty files are among them."""
    parts = []
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).parts):
        names = path.relative_to(folder).parts
        if path.is_dir() or any(name.startswith(("_", ".")) for name in names):
            continue
        keys = {}
        for name in names[:-1]:
            key, equals, value = name.partition("=")
            if equals and key:
                value = urllib.parse.unquote(value)
                keys[urllib.parse.unquote(key)] = None if value == _NULL else value
        parts.append(Part(path, keys))
    return parts


def open_parts(
    folder: Path, format_of: Callable[[Path], str | None], open_file: Callable[[Path], Source]
) -> list[Source]:
    """Open the parts of a folder.

    Args:
      folder: the folder.
      format_of: returns the format of a file, None where it is none that is read.
      open_file: opens a file that is not empty.

    Returns:
      A source for each part that is not an empty file.

    Raises:
      GenretError: it has no parts, parts of several formats, or only empty ones.
    """
    parts = find_parts(folder)
    formats = {part.path: format_of(part.path) for part in parts}
    known = [part for part in parts if formats[part.path] is not None]
    found = sorted({str(formats[part.path]) for part in known})
    if not known:
        more = f" (found {parts[0].path.name!r})" if parts else ""
        raise GenretError(f"{folder}: is a folder without files of a known format{more}")
    if len(found) > 1:
        raise GenretError(
            f"{folder}: holds files of several formats ({', '.join(found)}), expected one"
        )
    filled = [part for part in known if part.path.stat().st_size]
    if not filled:
        raise GenretError(f"{folder}: all of its {len(known)} files are empty")
    types = {
        key: _partition_type([part.keys.get(key) for part in filled])
        for key in sorted({key for part in filled for key in part.keys})
    }
    sources = []
    for part in filled:
        source = dataclasses.replace(open_file(part.path), folder=str(folder))
        new = {
            k: pa.scalar(v).cast(types[k]) for k, v in part.keys.items() if k not in source.columns
        }
        sources.append(_with_columns(source, new) if new else source)
    notes = []
    if len(filled) < len(known):
        notes.append(("empty files in folders", len(known) - len(filled), "skipped"))
    if len(known) < len(parts):
        other = next(part.path.name for part in parts if formats[part.path] is None)
        count = len(parts) - len(known)
        notes.append(("files of other formats in folders", count, f"skipped ({other!r}, say)"))
    sources[0] = dataclasses.replace(sources[0], notes=tuple(notes))
    return sources


def _partition_type(values: Sequence[str | None]) -> pa.DataType:
    """Return int64 where all values are plain integers, as Hive and Arrow do, else text."""
    texts = pa.array([v for v in values if v is not None], pa.string())
    plain = pc.match_substring_regex(texts, r"^(0|-?[1-9][0-9]{0,17})$")
    return pa.int64() if len(texts) and pc.all(plain).as_py() else pa.string()


def _with_columns(source: Source, new: dict[str, pa.Scalar]) -> Source:
    """Return a source with columns that have one value in all rows."""

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        own = [c for c in columns if c not in new]
        # Without a column of its own a batch would not say how many rows it has.
        for batch in source.read(own or source.columns[:1]):
            arrays = [
                pa.repeat(new[c], batch.num_rows) if c in new else batch.column(c) for c in columns
            ]
            yield pa.RecordBatch.from_arrays(arrays, names=list(columns))

    schema = source.schema
    if schema is not None:
        for name, value in new.items():
            schema = schema.append(pa.field(name, value.type))
    return dataclasses.replace(
        source, columns=(*source.columns, *new), read=read, schema=schema, partitions=tuple(new)
    )
