"""Every format gives the same catalog and histories; damaged files end in one clear line."""

import csv
import functools
import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genret.config import IngestConfig
from genret.data import _streams, ingest
from genret.data._sources import open_sources
from genret.errors import GenretError

Row = dict[str, str | int | None]

USERS = ["ann", "bob", "ann", "ü—1", "ann", "bob", "ü—1", 'q"x', "bob", "a,b; c", None, "ann"]
ITEMS = [7, 7, 12, 3, 3, None, 12, 7, 3, 12, 7, 12]
SECONDS = [50, 60, 20, 10, 40, 45, 30, 5, 60, 1, 2, 20]
EVENTS: list[Row] = [
    {"user_id": u, "item_id": i, "timestamp": 881_250_000 + t}
    for u, i, t in zip(USERS, ITEMS, SECONDS, strict=True)
]
ITEM_ROWS: list[Row] = [
    {"item_id": 3, "title": 'Amélie, "le" fabuleux', "brand": None, "pages": 120},
    {"item_id": 7, "title": "映画 🎬", "brand": "Müller & Söhne", "pages": 7},
    {"item_id": 12, "title": None, "brand": "'007'", "pages": 1},
    {"item_id": 40, "title": "Never seen", "brand": None, "pages": None},
]
PARTS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": functools.partial(gzip.compress, mtime=0),
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}


def delimited(rows: list[Row], delimiter: str, end: str = "\n") -> bytes:
    text: list[str] = []
    sink = mock.Mock(write=text.append)
    writer = csv.DictWriter(sink, list(rows[0]), delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return "".join(text).encode()


def recbole(rows: list[Row]) -> bytes:
    kinds = {"timestamp": "float", "pages": "float", "title": "token_seq"}
    header = "\t".join(f"{c}:{kinds.get(c, 'token')}" for c in rows[0])
    lines = ["\t".join("" if v is None else str(v) for v in row.values()) for row in rows]
    return "\n".join([header, *lines, ""]).encode()


def json_lines(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write(folder: Path, name: str, rows: list[Row]) -> Path:
    """Write rows in the format that the name says."""
    path = folder / name
    base, _, compression = name.rpartition(".")
    base, ending = (base, f".{compression}") if compression in ("gz", "zst") else (name, "")
    match base.split("."):
        case [_, "parquet"]:
            pq.write_table(pa.Table.from_pylist(rows), path)
            return path
        case ["folder"]:
            path.mkdir()
            for start in (0, 5):
                part = pa.Table.from_pylist(rows[start : start + 5 if not start else None])
                pq.write_table(part, path / f"part-{start}.parquet")
            return path
        case [_, "csv"]:
            content = delimited(rows, ",")
        case [_, "tsv"]:
            content = delimited(rows, "\t", "\r\n")
        case [_, "inter" | "item"]:
            content = recbole(rows)
        case [_, "jsonl"]:
            content = json_lines(rows)
        case [_, "item", "json"]:
            content = json.dumps({r["item_id"]: r for r in rows}).encode()
        case [_, "inter", "json"]:
            users = dict.fromkeys(r["user_id"] for r in rows)
            content = json.dumps(
                {u: [r["item_id"] for r in rows if r["user_id"] == u] for u in users}
            ).encode()
        case _:
            raise AssertionError(name)
    path.write_bytes(PARTS[ending](content))
    return path


TEXT = [f"x.{kind}{end}" for kind in ("csv", "tsv", "jsonl") for end in ("", ".gz", ".zst")]
EVENT_FILES = ["x.parquet", "folder", *TEXT, "x.inter", "x.inter.gz"]
ITEM_FILES = ["x.parquet", *TEXT, "x.item", "x.item.zst", "x.item.json", "x.item.json.gz"]


def outcome(interactions: Any, items: Any = None) -> tuple:
    """Everything that ingestion made, as Python values."""
    catalog, histories, report = ingest(interactions, items)
    return (
        catalog.table.to_pydict() | {"types": [str(t) for t in catalog.table.schema.types]},
        histories.user_ids.to_pylist(),
        histories.events.offsets.tolist(),
        histories.events.items.tolist(),
        None if histories.events.times is None else histories.events.times.tolist(),
        {rule.name: rule.count for rule in report.rules},
    )


@pytest.fixture(scope="module")
def expected() -> tuple:
    """The outcome of tables in memory."""
    made = outcome(pa.Table.from_pylist(EVENTS), pa.Table.from_pylist(ITEM_ROWS))
    assert (len(made[0]["item_id"]), len(made[1]), len(made[3])) == (4, 5, 9)
    assert made[5]["rows equal in user, item and time"] == 1
    return made


@pytest.mark.parametrize("name", EVENT_FILES)
def test_interactions_are_the_same_in_every_format(
    name: str, expected: tuple, tmp_path: Path
) -> None:
    items = write(tmp_path, "i.parquet", ITEM_ROWS)
    assert outcome(write(tmp_path, name, EVENTS), items) == expected


@pytest.mark.parametrize("name", ITEM_FILES)
def test_items_are_the_same_in_every_format(name: str, expected: tuple, tmp_path: Path) -> None:
    events = write(tmp_path, "e.parquet", EVENTS)
    assert outcome(events, write(tmp_path, name, ITEM_ROWS)) == expected


@pytest.mark.parametrize("name", ["x.csv", "x.tsv.gz", "x.jsonl", "x.inter", "x.inter.json"])
def test_without_times_and_with_integer_ids(name: str, tmp_path: Path) -> None:
    rows: list[Row] = [
        {"user_id": u, "item_id": i}
        for u, items in ((5, [1, 2, 2, 3]), (-1, [3, 2]), (40, [1]))
        for i in items
    ]
    found = outcome(write(tmp_path, name, rows), None)
    assert found == outcome(write(tmp_path, "x.parquet", rows), None)
    assert found[1] == [5, -1, 40]
    assert found[4] is None


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.tsv", "x.jsonl", "x.item.json"])
def test_ids_and_titles_with_tabs_and_newlines(name: str, tmp_path: Path) -> None:
    rows: list[Row] = [
        {"item_id": "a\tb", "title": "one\ttwo"},
        {"item_id": "c\nd", "title": "three\nfour"},
        {"item_id": " e ", "title": '"five"'},
    ]
    log = pa.table({"user_id": ["u\t1"] * 3, "item_id": [r["item_id"] for r in rows]})
    catalog, histories, _ = ingest(log, write(tmp_path, name, rows))
    assert [catalog.titles[i] for i in histories.events.items] == [r["title"] for r in rows]
    if name != "x.item.json":
        seen = [{"user_id": "u\t1", "item_id": r["item_id"]} for r in rows]
        again, same, _ = ingest(write(tmp_path, "e" + name[1:], seen))
        assert again.item_ids[same.events.items].tolist() == [r["item_id"] for r in rows]
        assert same.user_ids.to_pylist() == ["u\t1"]


def test_many_blocks_are_one_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows: list[Row] = [
        {"user_id": f"u{u}", "item_id": i, "timestamp": t + 1}
        for t, (u, i) in enumerate(rng.integers(0, 30, (2000, 2)).tolist())
    ]
    whole = outcome(write(tmp_path, "x.parquet", rows), None)
    with mock.patch.object(_streams, "BLOCK_BYTES", 999):
        for name in ("x.csv", "x.tsv.zst", "x.jsonl", "x.jsonl.gz", "x.inter"):
            assert outcome(write(tmp_path, name, rows), None) == whole


def test_newlines_in_values_may_lie_anywhere(tmp_path: Path) -> None:
    rows: list[Row] = [{"user_id": "u", "item_id": "\n" * (k % 7) + str(k)} for k in range(200)]
    with mock.patch.object(_streams, "BLOCK_BYTES", 101):
        for name in ("x.csv", "x.tsv"):
            assert outcome(write(tmp_path, name, rows)) == outcome(pa.Table.from_pylist(rows))


def test_quotes_mean_nothing_in_atomic_files(tmp_path: Path) -> None:
    file = tmp_path / "x.item"
    file.write_text('item_id:token\ttitle:token_seq\n1\t"Alien\n2\t"Up"\n')
    titles = outcome(pa.table({"user": [1, 1], "item": [1, 2]}), file)[0]["title"]
    assert sorted(titles) == ['"Alien', '"Up"']


def test_text_keeps_what_a_number_would_lose(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("user,item\n007,1e3\n7,1000\n007,1000\n")
    catalog, histories, _ = ingest(file)
    assert sorted(catalog.item_ids.tolist()) == ["1000", "1e3"]
    assert histories.user_ids.to_pylist() == ["007", "7"]


def test_json_text_that_looks_like_dates_stays_text(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(json_lines([{"user": "2020-01-01", "item": i} for i in ("2020-02-02", "x")]))
    items = tmp_path / "i.jsonl"
    items.write_bytes(json_lines([{"item": "2020-02-02", "title": "2012-12-12", "empty": None}]))
    catalog, histories, _ = ingest(file, [items, pa.table({"item": ["x"], "title": ["1984"]})])
    assert histories.user_ids.to_pylist() == ["2020-01-01"]
    assert sorted(catalog.titles) == ["1984", "2012-12-12"]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbfuser,item\n1,2\n2,3\n")
    (tmp_path / "x.jsonl").write_bytes(b'\xef\xbb\xbf{"user":1,"item":2}\n{"user":2,"item":3}\n')
    (tmp_path / "x.inter.json").write_bytes(b'\xef\xbb\xbf{"1":[2],"2":[3]}')
    assert (
        outcome(tmp_path / "x.csv", None)
        == outcome(tmp_path / "x.jsonl", None)
        == outcome(tmp_path / "x.inter.json", None)
    )


def test_gzip_of_several_members_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "x.csv.gz"
    file.write_bytes(gzip.compress(b"user,item\n1,2\n") + gzip.compress(b"1,3\n"))
    assert outcome(file, None)[3] == outcome(write_text(tmp_path, "user,item\n1,2\n1,3\n"), None)[3]


def write_text(folder: Path, text: str) -> Path:
    path = folder / "plain.csv"
    path.write_text(text)
    return path


JUNK = np.random.default_rng(0).bytes(4000)
DEFLATED = zlib.compress(b"user,item\n1,2\n")
GOOD = b"user,item\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(3000))
TRUNCATED = {end: pack(GOOD)[:-4000] for end, pack in PARTS.items() if end}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"", "is empty, expected interactions"),
        ("x.csv", b"user,item\n", "has a header but no rows"),
        ("x.csv", b"user,item", "cannot be read as CSV: it has no rows"),
        ("x.csv", b"\n\n", "cannot be read as CSV: it has no rows"),
        ("x.csv", b"user,item\n1,2\n3,4,5\n", "CSV parse error: Row #3: Expected 2 columns, got 3"),
        ("x.csv", b"user,item\n1,2\n3,\xff\n", "Row #3: CSV conversion error to string: invalid UTF8"),
        ("x.csv", b"user,user,item\n1,2,3\n", "column 'user' occurs more than once"),
        ("x.csv", b"who,item\n1,2\n", "found no column of the user; its columns are 'who', 'item'"),
        ("x.csv", b"user,item\n1," + b"x" * (17 << 20) + b"\n", "a line is longer than 8 MiB"),
        ("x.csv", JUNK, "CSV|line 4: found a quote"),
        ("x.tsv", JUNK, "cannot be read as TSV"),
        ("x.inter", JUNK, "cannot be read as RecBole"),
        ("x.jsonl", JUNK, "line 1: is not valid UTF-8"),
        ("x.parquet", JUNK, "cannot be read as Parquet: Parquet magic bytes"),
        ("x.parquet", b"PAR1" + JUNK + b"PAR1", "cannot be read as Parquet"),
        ("x.csv.gz", JUNK, "is named as gzip, but its content is not gzip"),
        ("x.csv.gz", GOOD, "is named as gzip, but its content is not gzip"),
        ("x.csv.gz", gzip.compress(b"", mtime=0), "cannot be read as CSV: it has no rows"),
        ("x.csv.gz", TRUNCATED[".gz"], "cannot be read as CSV: Truncated compressed stream"),
        ("x.csv.zst", TRUNCATED[".zst"], "cannot be read as CSV: Truncated compressed stream"),
        ("x.csv.zst", DEFLATED, "is named as zstd, but its content is not zstd"),
        ("x.inter.json", JUNK, "cannot be read as JSON"),
        ("x.inter.json.gz", JUNK, "is named as gzip, but its content is not gzip"),
        ("x.inter", b"user_id\titem_id:token\n1\t2\n", "found the header cell 'user_id', expected name"),
        ("x.inter", b"user_id:token\titem_id:token\n1\t2\n1\n", "Row #3: Expected 2 columns, got 1"),
        ("x.jsonl", b'{"user":1,"item":2}\n{"user":1,"it', "line 2: cannot be read as JSON: Unterminated string"),
        ("x.jsonl", b'{"user":1,"item":2}\n\n{"user":1,"user":2}\n', "line 3: .*'user' occurs more than"),
        ("x.jsonl", b'{"user":1,"item":"\\ud800"}\n', "line 1: found half of a surrogate pair"),
        ("x.jsonl", b'{"user":1,"item":2}{"user":1,"item":3}\n', "line 1: cannot be read as JSON: Extra"),
        ("x.jsonl", b'[{"user":1,"item":2}]\n', "line 1: found an array, expected a JSON object"),
        ("x.jsonl", b'{"user":1,"item":{"a":2}}\n', "column 'item': found struct<a: int64>, expected"),
        ("x.xls", b"abc", r"unknown format; expected \.parquet, \.csv"),
        ("x.parquet.gz", b"abc", "unknown format"),
        ("x.json", b"{}", "unknown format"),
    ],
    ids=lambda value: "content" if isinstance(value, bytes) else None,
)  # fmt: skip
def test_damaged_files_end_in_one_clear_line(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(GenretError, match=message) as found:
        ingest(file)
    text = str(found.value)
    assert text.startswith(str(file))
    assert text.isprintable()
    assert len(text) < 1500


def test_a_bad_row_far_down_is_named(tmp_path: Path) -> None:
    lines = [b'{"user":1,"item":%d}\n' % i for i in range(500)]
    lines[420] = b'{"user":1,"item":"x}\n'
    file = tmp_path / "x.jsonl"
    file.write_bytes(b"".join(lines))
    with (
        mock.patch.object(_streams, "BLOCK_BYTES", 1000),
        pytest.raises(GenretError, match=r"line 421: cannot be read as JSON: Unterminated string"),
    ):
        ingest(file)


def test_a_missing_file_and_a_folder_without_parquet(tmp_path: Path) -> None:
    with pytest.raises(GenretError, match=r"nope\.csv: no such file \(interactions\)"):
        ingest(tmp_path / "nope.csv")
    with pytest.raises(GenretError, match="is a folder without files of a known format"):
        ingest(tmp_path)
    log = pa.table({"user": [1], "item": [1]})
    with pytest.raises(GenretError, match=r"nope\.csv: no such file \(items\)"):
        ingest(log, tmp_path / "nope.csv")


def test_the_message_names_the_file_of_several(tmp_path: Path) -> None:
    good, bad = tmp_path / "a.csv", tmp_path / "b.csv"
    good.write_text("user,item,time\n1,2,3\n1,3,4\n")
    bad.write_text("user,item,time\n1,2,3\n1,3,later\n")
    message = (
        r"'time': 1 of 4 rows have a time that cannot be used \(.*b\.csv row 2: found 'later'\)"
    )
    with pytest.raises(GenretError, match=message):
        ingest([good, bad])
    bad.write_text("user,item,time\n1,2,3\n1,2,3\n1,3,-4000000000\n")
    with pytest.raises(GenretError, match=r"b\.csv row 3: found -4000000000\)"):
        ingest([good, bad])
    report = ingest([good, bad], config=IngestConfig(bad_times="drop"))[2]
    assert (report.count("rows with a bad time"), report.events) == (1, 2)
    assert report.rejected is not None
    assert report.rejected.to_pylist()[0] == {
        "file": "b.csv", "row": 3, "line": 4, "reason": "a time that cannot be used",
    }  # fmt: skip


def test_lines_that_two_separators_cut_alike_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("price, EUR;user\n;,\n")
    with pytest.raises(GenretError, match=r"log\.csv: found lines that can be separated by any of"):
        open_sources(file, "interactions")
    file.write_text("price, EUR;user\n1,2\n")  # every line has one comma, not every one a semicolon
    (source,) = open_sources(file, "interactions")
    assert source.columns == ("price", " EUR;user")


def test_separators_in_quotes_do_not_count(tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    for text in (
        'id,"color;size"\n1,"red;L"\n2,"blue;M"\n',
        '"id";"color,size"\n1;"red,\nL"\n',
    ):
        file.write_text(text)
        (source,) = open_sources(file, "items")
        assert len(source.columns) == 2
