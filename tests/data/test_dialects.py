"""Random tables in random dialects are read back equal, or refused: nothing is lost in silence.

Tables are written as people write them: by the csv module, pandas, Polars and pyarrow, with their
quotes, separators, line ends, encodings and compressions. Left out is what a file cannot tell:
backslashes as escapes, and single quotes around some fields only.
"""

import csv
import gzip
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import hypothesis
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import strategies as st

from genret.data import _sources, _streams, ingest
from genret.data._sources import open_sources
from genret.data._text_records import count_records
from genret.errors import GenretError

Cells = list[list[Any]]  # rows of cells

TEXTS = st.text(alphabet="ab1 \"',;|\t\n\r\\#ü映\u2028", max_size=5) | st.sampled_from(
    ["007", "1.0", "1e3", "NA", "null", "nan", '"', '""', 'say "hi"', '"q"', "\ufeff", "x" * 300, " 1"]
)  # fmt: skip
CALM = st.text(alphabet="ab1 -.'#ü映", max_size=5)
NAMES = st.sampled_from(
    ["user", "item id", "Title", "größe", "a", "price, EUR", "x;y", "say", "1", "_", "映画"]
)
WHOLE = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def tables(draw: st.DrawFn, cells: tuple[st.SearchStrategy, ...]) -> tuple[list[str], Cells]:
    """Names and rows of a table of two to four columns."""
    names = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
    columns = [draw(st.sampled_from(cells)) for _ in names]
    rows = draw(st.lists(st.tuples(*columns), min_size=1, max_size=12))
    return names, [list(row) for row in rows * draw(st.sampled_from([1, 1, 1, 40]))]


def line_end_and_quoting(rows: Cells, draw: Any, ends: list[str]) -> tuple[str, Any]:
    """A line end and a way to quote; the module csv quotes no line end but the one it is given."""
    end = draw(st.sampled_from(ends))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    if quoting == csv.QUOTE_MINIMAL and any(
        set(cell or "") & set("\r\n") - set(end) for row in rows for cell in row
    ):
        quoting = csv.QUOTE_ALL
    return end, quoting


def by_csv_module(names: list[str], rows: Cells, draw: Any, separator: str) -> str:
    sink = io.StringIO()
    end, quoting = line_end_and_quoting(rows, draw, ["\n", "\r\n", "\r"])
    quote = '"' if quoting == csv.QUOTE_MINIMAL else draw(st.sampled_from('""""\''))
    csv.writer(
        sink, delimiter=separator, lineterminator=end, quoting=quoting, quotechar=quote
    ).writerows([names, *rows])
    return sink.getvalue()


def by_hand(names: list[str], rows: Cells, draw: Any, separator: str) -> str:
    """No quotes at all, as a shell writes it; what needs some is left out."""
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = [separator.join(c or "" for c in row) for row in [names, *rows]]
    text = end.join(lines) + draw(st.sampled_from([end, "", end * 2]))
    for row in [names, *rows]:
        for cell in row:
            hypothesis.assume(not cell or not set(cell) & {separator, "\n", "\r"})
    # Quotes that all stand as if they enclosed fields are taken so, by the rule.
    found = count_records([text.encode()], separator)
    hypothesis.assume(not found.has_quotes or bool(found.stray_line))
    return text


def by_pandas(names: list[str], rows: Cells, draw: Any, separator: str) -> str:
    end, quoting = line_end_and_quoting(rows, draw, ["\n", "\r\n"])
    frame = pd.DataFrame(rows, columns=names, dtype=object)
    text: str = frame.to_csv(sep=separator, index=False, lineterminator=end, quoting=quoting)
    return text


def by_polars(names: list[str], rows: Cells, draw: Any, separator: str) -> str:
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    text: str = frame.write_csv(
        separator=separator,
        line_terminator=draw(st.sampled_from(["\n", "\r\n"])),
        quote_style=draw(st.sampled_from(["necessary", "always", "non_numeric"])),
    )
    return text


def by_pyarrow(names: list[str], rows: Cells, draw: Any, separator: str) -> str:
    table = pa.table([pa.array(column, pa.string()) for column in zip(*rows, strict=True)], names)
    sink = pa.BufferOutputStream()
    style = draw(st.sampled_from(["needed", "all_valid"]))
    options = pa.csv.WriteOptions(delimiter=separator, quoting_style=style)
    pa.csv.write_csv(table, sink, options)
    return sink.getvalue().to_pybytes().decode()


WRITERS = (by_csv_module, by_hand, by_pandas, by_polars, by_pyarrow)


def compressed(content: bytes, draw: Any) -> tuple[bytes, str]:
    """Content as a writer may have compressed it, in one piece or several."""
    cut = draw(st.integers(0, len(content)))
    pieces = draw(st.sampled_from([[content], [content[:cut], content[cut:]]]))

    def zstd(piece: bytes) -> bytes:
        found: bytes = pa.compress(piece, codec="zstd", asbytes=True)
        return found

    packers: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstd}
    suffix = draw(st.sampled_from(["", "", ".gz", ".zst"]))
    if not suffix:
        return content, ""
    suffix_shown = draw(st.sampled_from([suffix, suffix, ""]))
    return b"".join(map(packers[suffix], pieces)), suffix_shown


def read_back(path: Path, block_bytes: int) -> tuple[list[str], Cells] | None:
    """Everything in a file, by the readers of ingestion; None: it was refused."""
    with (
        mock.patch.object(_streams, "BLOCK_BYTES", block_bytes),
        mock.patch.object(_sources, "BATCH_ROWS", 7),
    ):
        try:
            (source,) = open_sources(path, "interactions")
            names = list(source.columns)
            rows: Cells = []
            for batch in source.read(names):
                rows += [list(row) for row in zip(*(c.to_pylist() for c in batch), strict=True)]
            return names, rows
        except GenretError as e:
            said = str(e)
    assert said.isprintable(), said
    return None


def text_case(draw: Any, folder: Path) -> tuple[bool, str]:
    """Write a delimited file, read it, and say whether it was accepted and how it was made."""
    calm = draw(st.booleans())
    cells = (CALM,) if calm else (TEXTS, TEXTS, CALM, st.none() | TEXTS, st.just("").map(str))
    names, rows = draw(tables(cells))
    separator = draw(st.sampled_from([",", ",", "\t", ";", "|"]))
    write = draw(st.sampled_from(WRITERS))
    text = write(names, rows, draw, separator)
    encoding = draw(
        st.sampled_from(["utf-8"] * 4 + ["utf-8-sig", "utf-16", "utf-16-le", "cp1252", "utf-32"])
    )
    try:
        content, suffix = compressed(text.encode(encoding), draw)
    except UnicodeEncodeError:
        hypothesis.reject()
    kind = "tsv" if separator == "\t" and draw(st.booleans()) else "csv"
    path = folder / f"x.{kind}{suffix}"
    path.write_bytes(content)
    found = read_back(path, draw(st.sampled_from([64, 100, 333, 1000, 8 << 20])))
    path.unlink()
    how = f"{write.__name__} {separator!r} {encoding} {path.name}"
    if found is None:
        return False, how
    expected = [[c or None for c in row] for row in rows]
    assert found == (names, expected), f"{how}: {text!r}"
    return True, how


@pytest.mark.parametrize(
    "examples",
    [150, pytest.param(5000, marks=pytest.mark.exhaustive)],
    ids=["few", "many"],
)
def test_text_is_read_back_equal_or_refused(examples: int, tmp_path: Path) -> None:
    accepted = []

    @hypothesis.settings(
        max_examples=examples, suppress_health_check=list(hypothesis.HealthCheck), database=None
    )
    @hypothesis.given(data=st.data())
    def check(data: st.DataObject) -> None:
        ok, how = text_case(data.draw, tmp_path)
        accepted.append(ok)
        hypothesis.event(f"{'read' if ok else 'refused'}: {how}")

    check()
    assert sum(accepted) > len(accepted) / 3, "refusing everything would pass as well"


MIXED = st.one_of(WHOLE, TEXTS, NUMBERS, st.booleans(), st.lists(WHOLE, max_size=2), st.none())
JSON_CELLS = (TEXTS, WHOLE, NUMBERS, st.booleans(), st.none() | TEXTS, st.none() | WHOLE,
              st.one_of(WHOLE, NUMBERS), st.one_of(WHOLE, TEXTS), MIXED,
              st.lists(TEXTS, max_size=3), st.none() | st.lists(WHOLE, max_size=3))  # fmt: skip


def as_one_type(values: list[Any]) -> list[Any]:
    """Values of a field of JSON as they are read: of one type, or all of them as text."""
    kinds = {type(v) for v in values if v is not None}
    if kinds == {int, float}:
        return [None if v is None else float(v) for v in values]
    if kinds == {list}:
        inner = iter(as_one_type([e for v in values if v is not None for e in v]))
        return [None if v is None else [next(inner) for _ in v] for v in values]
    if len(kinds) <= 1:
        return values
    return [v if v is None or isinstance(v, str) else spelled(v) for v in values]


def spelled(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def json_case(draw: Any, folder: Path) -> bool:
    names, rows = draw(tables(JSON_CELLS))
    absent = draw(st.booleans())
    end = draw(st.sampled_from(["\n", "\r\n", "\n\n"]))
    ascii_only = draw(st.booleans())
    lines = [
        json.dumps(
            {n: v for n, v in zip(names, row, strict=True) if not (absent and v is None)},
            ensure_ascii=ascii_only,
        )
        for row in rows
    ]
    content, suffix = compressed((end.join(lines) + end).encode(), draw)
    path = folder / f"x.jsonl{suffix}"
    path.write_bytes(content)
    found = read_back(path, draw(st.sampled_from([64, 333, 1000, 8 << 20])))
    path.unlink()
    if found is None:
        return False
    columns = dict(zip(names, map(as_one_type, map(list, zip(*rows, strict=True))), strict=True))
    if absent:  # a field that is nowhere is no column
        columns = {n: c for n, c in columns.items() if any(v is not None for v in c)}
    assert sorted(found[0]) == sorted(columns), lines
    read = dict(zip(found[0], map(list, zip(*found[1], strict=True)), strict=True))
    assert read == columns, lines
    assert repr([read[n] for n in columns]) == repr(list(columns.values())), "1 is not 1.0"
    return True


@pytest.mark.parametrize(
    "examples", [100, pytest.param(2000, marks=pytest.mark.exhaustive)], ids=["few", "many"]
)
def test_json_lines_are_read_back_equal_or_refused(examples: int, tmp_path: Path) -> None:
    accepted = []

    @hypothesis.settings(
        max_examples=examples, suppress_health_check=list(hypothesis.HealthCheck), database=None
    )
    @hypothesis.given(data=st.data())
    def check(data: st.DataObject) -> None:
        accepted.append(json_case(data.draw, tmp_path))

    check()
    assert sum(accepted) > len(accepted) / 2


TYPED: tuple[tuple[pa.DataType, st.SearchStrategy], ...] = (
    (pa.string(), TEXTS),
    (pa.large_string(), TEXTS),
    (pa.dictionary(pa.int32(), pa.string()), TEXTS),
    (pa.int64(), WHOLE),
    (pa.int8(), st.integers(-128, 127)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), NUMBERS),
    (pa.float32(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    (pa.bool_(), st.booleans()),
    (pa.timestamp("us"), st.datetimes().map(lambda t: t.replace(fold=0))),
    (pa.date32(), st.dates()),
    (pa.list_(pa.string()), st.lists(TEXTS, max_size=3)),
    (pa.large_list(pa.int64()), st.lists(WHOLE, max_size=3)),
    (pa.binary(), st.binary(max_size=3)),
    (pa.decimal128(38, 0), st.integers(-(10**38) + 1, 10**38 - 1)),
)


@st.composite
def arrow_tables(draw: st.DrawFn) -> pa.Table:
    names = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
    count = draw(st.integers(1, 20))
    columns = []
    for _ in names:
        kind, values = draw(st.sampled_from(TYPED))
        values = draw(st.sampled_from([values, st.none() | values]))
        columns.append(pa.array(draw(st.lists(values, min_size=count, max_size=count)), kind))
    return pa.table(columns, names)


def values_of(table: pa.Table) -> list[list[Any]]:
    """Python values of the columns, decimals that are whole as integers."""
    return [
        [int(v) if pa.types.is_decimal(column.type) and v is not None else v for v in column.to_pylist()]
        for column in table.columns
    ]  # fmt: skip


@hypothesis.settings(max_examples=100, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(data=st.data())
def test_parquet_is_read_back_equal(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = data.draw(arrow_tables())
    path = tmp_path_factory.mktemp("parquet") / "x.parquet"
    match data.draw(st.sampled_from(["pyarrow", "pandas", "polars"])):
        case "pyarrow":
            pa.parquet.write_table(
                table,
                path,
                compression=data.draw(st.sampled_from(["none", "snappy", "gzip", "zstd", "lz4"])),
                row_group_size=data.draw(st.sampled_from([1, 3, 1000])),
                use_dictionary=data.draw(st.booleans()),
                data_page_version=data.draw(st.sampled_from(["1.0", "2.0"])),
            )
        case "pandas":
            table.to_pandas(types_mapper=pd.ArrowDtype).to_parquet(path, index=False)
        case _:
            hypothesis.assume(not any(pa.types.is_decimal(t) for t in table.schema.types))
            pl.DataFrame(table).write_parquet(path)
    (source,) = open_sources(path, "interactions")
    with mock.patch.object(_sources, "BATCH_ROWS", 7):
        read = pa.Table.from_batches(source.read(source.columns))
    assert list(source.columns) == table.column_names
    assert values_of(read) == values_of(table)


def frames_of(table: pa.Table) -> dict[str, Any]:
    """The same table as objects of the libraries that people have."""
    return {
        "pyarrow reader": table.to_reader(),
        "pandas": table.to_pandas(),
        "pandas on Arrow": table.to_pandas(types_mapper=pd.ArrowDtype),
        "polars": pl.DataFrame(table),
        "duckdb": duckdb.connect().from_arrow(table),
    }


@pytest.mark.parametrize("size", range(64, 90))
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_end_in_quotes_may_lie_on_the_edge_of_a_block(
    size: int, end: str, tmp_path: Path
) -> None:
    """Arrow drops a LF after a CR there."""
    rows = [["\r\n", "x\r\ny"], ["\n", "\r"], ["\r\r\n", "a"]] * 20
    sink = io.StringIO()
    csv.writer(sink, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    path = tmp_path / "x.csv"
    path.write_bytes(sink.getvalue().encode())
    assert read_back(path, size) == (["a", "b"], rows)


LOG = pa.table(
    {
        "user": ["ann", "bob", "ann", "cy", None, "ann"],
        "item": pa.array([3, 7, 7, 3, 3, 12], pa.int32()),
        "time": pa.array([1, 2, None, 2, 5, 9], pa.timestamp("us", "UTC")),
    }
)


@pytest.mark.parametrize("name", list(frames_of(LOG)))
def test_objects_of_other_libraries_are_tables(name: str) -> None:
    """A pandas column of integers with a null is one of doubles: whole ones are ids too."""
    titles = pa.table({"item": pa.array([3, 7, 12], pa.int32()), "title": ["A", "B", "C"]})
    expected, found = ingest(LOG, titles), ingest(frames_of(LOG)[name], frames_of(titles)[name])
    assert found[0].table.equals(expected[0].table)
    assert found[1].user_ids.equals(expected[1].user_ids)
    assert found[1].events.items.tolist() == expected[1].events.items.tolist()
    assert found[2].rules == expected[2].rules
    without_null = LOG.slice(0, 1).set_column(1, "item", pa.array([None], pa.int32()))
    log = pa.concat_tables([LOG, without_null])
    assert ingest(frames_of(log)[name])[2].count("rows without an item") == 1


def test_nan_in_an_id_of_pandas_is_a_null() -> None:
    frame = pd.DataFrame({"user": [1.0, math.nan, 2.0], "item": [7, 8, 9]})
    _, histories, report = ingest(frame)
    assert histories.user_ids.to_pylist() == [1, 2]
    assert report.count("rows without a user") == 1
