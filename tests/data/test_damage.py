"""Damaged files are refused wherever the format can tell, and odd ones are read right or refused."""

import collections
import functools
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from genret.data import ingest
from genret.data._sources import open_sources
from genret.errors import GenretError

RNG = np.random.default_rng(0)
LOG = pa.table(
    {
        "user": [f"u{u}" for u in RNG.integers(0, 90, 700)],
        "item": [f"i{i}" for i in RNG.integers(0, 60, 700)],
        "time": RNG.integers(1_600_000_000, 1_700_000_000, 700),
    }
)


@functools.cache
def as_csv() -> bytes:
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(LOG, sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def as_parquet(compression: str) -> bytes:
    sink = io.BytesIO()
    pq.write_table(LOG, sink, compression=compression, row_group_size=200, write_page_checksum=True)
    return sink.getvalue()


def bare_zstd(content: bytes) -> bytes:
    """A frame without a checksum, as pyarrow, Polars and DuckDB write it."""
    frame: bytes = pa.compress(content, codec="zstd", asbytes=True)
    assert not frame[4] & 4
    return frame


def zstd(content: bytes) -> bytes:
    """A frame with a checksum of its content, as the program zstd writes it."""
    frame = bytearray(bare_zstd(content))
    frame[4] |= 4
    return bytes(frame) + (xxh64(content) & 0xFFFFFFFF).to_bytes(4, "little")


def xxh64(content: bytes) -> int:
    """The hash of zstd's checksums (XXH64 with seed 0), after its specification."""
    p1, p2, p3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
    p4, p5, mask = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5, 2**64 - 1

    def rotated(x: int, by: int) -> int:
        return (x << by | x >> (64 - by)) & mask

    def rounded(lane: int, word: int) -> int:
        return rotated((lane + word * p2) & mask, 31) * p1 & mask

    def word_at(at: int, size: int) -> int:
        return int.from_bytes(content[at : at + size], "little")

    at, h = 0, p5
    if len(content) >= 32:
        lanes = [(p1 + p2) & mask, p2, 0, -p1 & mask]
        while at + 32 <= len(content):
            lanes = [rounded(lane, word_at(at + 8 * k, 8)) for k, lane in enumerate(lanes)]
            at += 32
        h = sum(rotated(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)) & mask
        for lane in lanes:
            h = ((h ^ rounded(0, lane)) * p1 + p4) & mask
    h = (h + len(content)) & mask
    while at + 8 <= len(content):
        h = (rotated(h ^ rounded(0, word_at(at, 8)), 27) * p1 + p4) & mask
        at += 8
    if at + 4 <= len(content):
        h = (rotated(h ^ word_at(at, 4) * p1 & mask, 23) * p2 + p3) & mask
        at += 4
    for byte in content[at:]:
        h = rotated(h ^ byte * p5 & mask, 11) * p1 & mask
    h = (h ^ h >> 33) * p2 & mask
    h = (h ^ h >> 29) * p3 & mask
    return h ^ h >> 32


FORMATS: dict[str, Callable[[], bytes]] = {
    "x.csv.gz": lambda: gzip.compress(as_csv(), mtime=0),
    "members.csv.gz": lambda: b"".join(
        gzip.compress(part, mtime=0) for part in (as_csv()[:5000], as_csv()[5000:])
    ),
    "x.csv.zst": lambda: zstd(as_csv()),
    "frames.csv.zst": lambda: zstd(as_csv()[:5000]) + zstd(as_csv()[5000:]),
    "bare.csv.zst": lambda: bare_zstd(as_csv()),
    "snappy.parquet": functools.partial(as_parquet, "snappy"),
    "zstd.parquet": functools.partial(as_parquet, "zstd"),
    "plain.parquet": functools.partial(as_parquet, "none"),
}
UNTOLD = {"bare.csv.zst": 0.6, "parquet": 0.03}
"""The most flips that may go unseen: a bare frame has no checksum, and those of Parquet are of
pages, not of the headers between them and the footer."""


def read(path: Path) -> pa.Table | None:
    """What a file holds; None: it was refused, in one line that names it."""
    try:
        (source,) = open_sources(path, "interactions")
        return pa.Table.from_batches(source.read(source.columns))
    except GenretError as e:
        said = str(e)
    assert said.startswith(str(path))
    assert said.isprintable()
    return None


def test_the_hash_of_checksums() -> None:
    assert xxh64(b"") == 0xEF46DB3751D8E999
    assert xxh64(b"abc") == 0x44BC2CF5AD770999


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.parametrize(
    ("flips", "cuts"),
    [(25, 8), pytest.param(200, 50, marks=pytest.mark.exhaustive)],
    ids=["few", "many"],
)
def test_every_flipped_bit_and_every_cut_is_found(
    name: str, flips: int, cuts: int, tmp_path: Path
) -> None:
    good, path = FORMATS[name](), tmp_path / name
    path.write_bytes(good)
    whole = read(path)
    assert whole is not None
    assert whole.num_rows == LOG.num_rows
    found: collections.Counter[str] = collections.Counter()
    rng = np.random.default_rng(flips)
    for bit in rng.choice(8 * len(good), flips, replace=False).tolist():
        content = bytearray(good)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        table = read(path)
        found["refused" if table is None else "equal" if table.equals(whole) else "changed"] += 1
    most = UNTOLD.get(name, UNTOLD.get(name.rpartition(".")[2], 0.0))
    assert found["changed"] <= max(most * flips, most > 0), found
    assert found["refused"] > flips / 4, found
    for size in rng.choice(np.arange(1, len(good)), cuts, replace=False).tolist():
        if good[size:].startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
            continue  # between two members: what is there is whole
        path.write_bytes(good[:size])
        assert read(path) is None, f"cut after {size} of {len(good)} bytes"


TEXT = "user,item\nann,Ü\nbob,映\nann,x\n"
ROWS = [("ann", "Ü"), ("bob", "映"), ("ann", "x")]


def rows_of(path: Path) -> list[tuple[str, ...]]:
    (source,) = open_sources(path, "interactions")
    batches = source.read(source.columns)
    return [row for b in batches for row in zip(*(c.to_pylist() for c in b), strict=True)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "gzip-in.csv", "zstd-in.csv"])
def test_encodings_and_suffixes_that_say_something_else(
    encoding: str, end: str, name: str, tmp_path: Path
) -> None:
    content = TEXT.replace("\n", end).encode(encoding)
    if "gz" in name:
        content = gzip.compress(content)
    if "zst" in name:
        content = zstd(content)
    (tmp_path / name).write_bytes(content)
    assert rows_of(tmp_path / name) == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", TEXT.encode("utf-16-le"), "looks like UTF-16 without a byte order mark"),
        ("x.csv", TEXT.encode("utf-16-be"), "looks like UTF-16 without a byte order mark"),
        ("x.csv", TEXT.encode("utf-32"), "is text in UTF-32, expected UTF-8"),
        ("x.csv", b"PK\x03\x04" + bytes(50), "is a ZIP archive or an Excel workbook, not text"),
        ("x.tsv", b"BZh91AY&SY" + bytes(50), "is bzip2, not text"),
        ("x.csv", as_parquet("none"), "is Parquet, not text"),
        ("x.jsonl", as_parquet("none"), "is Parquet, not text"),
        ("x.csv.gz", as_csv(), "is named as gzip, but its content is not gzip"),
        ("x.csv.zst", gzip.compress(as_csv())[2:], "is named as zstd, but its content is not zstd"),
        ("x.parquet", as_csv(), "cannot be read as Parquet"),
        ("x.csv.gz", gzip.compress(as_csv()) + b"junk", "damaged, or other bytes follow it"),
        ("x.csv.gz", gzip.compress(as_csv()) + bytes(512), "damaged, or other bytes follow it"),
        ("x.csv.zst", zstd(as_csv()) + bytes(512), "damaged, or other bytes follow it"),
        ("x.csv", b"user,item\nann,x\n" + bytes(512), r"Expected 2 columns, got 1|NUL"),
    ],
    ids=lambda value: "content" if isinstance(value, bytes) else None,
)  # fmt: skip
def test_what_is_not_what_it_seems_is_refused(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GenretError, match=message) as found:
        ingest(tmp_path / name)
    assert str(found.value).isprintable()


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl", "x.parquet", "x.item"])
@pytest.mark.parametrize("title", ["y" * 1_000_000, "nul \0 in it", '\\"n\\t'], ids=["long", "nul", "escapes"])  # fmt: skip
def test_titles_of_any_kind_are_kept(name: str, title: str, tmp_path: Path) -> None:
    path = tmp_path / name
    table = pa.table({"item_id": ["a", "b", "c"], "title": [title, "B", "C"]})
    match path.suffix:
        case ".parquet":
            pq.write_table(table, path)
        case ".jsonl":
            path.write_text(table.to_pandas().to_json(orient="records", lines=True))
        case ".item":
            cells = [
                ["item_id:token", "title:token_seq"],
                *zip(*table.to_pydict().values(), strict=True),
            ]
            path.write_text("".join("\t".join(row) + "\n" for row in cells))
        case suffix:
            table.to_pandas().to_csv(path, index=False, sep="," if suffix == ".csv" else "\t")
    catalog, _, _ = ingest(pa.table({"user": ["u", "u"], "item": ["a", "b"]}), path)
    assert dict(zip(catalog.item_ids.tolist(), catalog.titles, strict=True))["a"] == title
