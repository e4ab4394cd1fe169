"""Folders as Spark, Hive, pandas and macOS write them."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genret.data import ingest, open_sources
from genret.data._folders import find_parts
from genret.errors import GenretError

LOG = pa.table({"user_id": ["u", "u", "v"], "item_id": ["a", "b", "a"]})
CSV = "user_id,item_id\nu,a\nu,b\nv,a\n"


def put(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def spark(folder: Path) -> None:
    put(LOG, folder / "part-00000.snappy.parquet")
    put(LOG[:0], folder / "part-00001.snappy.parquet")
    (folder / "_SUCCESS").touch()
    (folder / ".part-00000.snappy.parquet.crc").write_bytes(b"crc")


def spark_csv(folder: Path) -> None:
    (folder / "part-00000-x-c000.csv").write_text(CSV)
    (folder / "part-00001-x-c000.csv").touch()


def spark_json(folder: Path) -> None:
    lines = "".join(f'{{"user_id":"{u}","item_id":"{i}"}}\n' for u, i in zip(*LOG, strict=True))
    (folder / "part-00000-x-c000.json").write_text(lines)


def hive(folder: Path) -> None:
    put(LOG[:1], folder / "date=2024-01-02" / "part-0.parquet")
    put(LOG[1:], folder / "date=2024-01-01" / "part-0.parquet")


def mac(folder: Path) -> None:
    put(LOG, folder / "a.parquet")
    (folder / "._a.parquet").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")


def nested(folder: Path) -> None:
    put(LOG[:1], folder / "a.parquet")
    put(LOG[1:], folder / "b.parquet" / "part-0.parquet")


@pytest.mark.parametrize("build", [spark, spark_csv, spark_json, hive, mac, nested])
def test_every_row_of_a_folder_is_read(build: Callable[[Path], None], tmp_path: Path) -> None:
    build(tmp_path)
    report = ingest(tmp_path)[2]
    assert (report.events, report.count("rows read")) == (3, 3)


def test_a_partition_gives_the_time_that_files_lack(tmp_path: Path) -> None:
    hive(tmp_path)
    _, histories, _ = ingest(tmp_path)
    assert histories.events.times is not None
    days = (histories.events.times // 86_400_000_000).tolist()
    assert days == [19723, 19724, 19723]  # u: b on the first, a on the second; v: a on the first


def test_a_partition_overrides_no_column_of_the_file(tmp_path: Path) -> None:
    for day in ("2024-01-01", "2024-01-02"):
        log = LOG.append_column("ts", pa.array([1_700_000_000, 1_600_000_000, 5]))
        put(log.append_column("date", pa.array(["x"] * 3)), tmp_path / f"date={day}" / "p.parquet")
    (source, _) = open_sources(tmp_path, "interactions")
    assert source.partitions == ()
    assert source.columns == ("user_id", "item_id", "ts", "date")


def test_partition_values_are_numbers_only_if_all_are(tmp_path: Path) -> None:
    for value in ("1", "2", "__HIVE_DEFAULT_PARTITION__", "a%3Db"):
        put(LOG, tmp_path / "one" / f"k={value}" / "p.parquet")
        if value[0] != "a":
            put(LOG, tmp_path / "two" / f"k={value}" / "p.parquet")
    for name, expected in (("one", ["1", "2", None, "a=b"]), ("two", [1, 2, None])):
        sources = open_sources(tmp_path / name, "interactions")
        found = [next(iter(s.read(["item_id", "k"])))["k"][0].as_py() for s in sources]
        assert found == expected


def test_parts_are_in_the_order_of_their_paths(tmp_path: Path) -> None:
    names = ["b/2.csv", "b/10.csv", "a.csv", "a/z.csv", "B.csv", "_x/1.csv", ".y/1.csv", "b/_1.csv"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [part.path.relative_to(tmp_path).as_posix() for part in find_parts(tmp_path)]
    assert found == ["B.csv", "a/z.csv", "a.csv", "b/10.csv", "b/2.csv"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is a folder without files of a known format$"),
        ({"x.orc": b"ORC"}, r"without files of a known format \(found 'x.orc'\)"),
        ({"a.csv": b"", "b.csv": b""}, "all of its 2 files are empty"),
        ({"a.csv": CSV.encode(), "b.tsv": b"x"}, r"of several formats \(CSV, TSV\), expected one"),
        ({"a.csv": b"user_id,item_id\n", "b.csv": b"user_id,item_id\n"}, "its files have no rows"),
        (
            {"a.csv": CSV.encode(), "b.csv": b"user_id,x\n1,2\n"},
            r"b\.csv: found no column of the it",
        ),
    ],
)
def test_folders_that_cannot_be_used(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(GenretError, match=message):
        ingest(tmp_path)


def test_items_of_parts_are_united_by_name(tmp_path: Path) -> None:
    put(pa.table({"item_id": ["a"], "title": ["A"], "price": [1]}), tmp_path / "0.parquet")
    put(pa.table({"item_id": ["b"], "title": ["B"], "brand": ["X"]}), tmp_path / "1.parquet")
    put(pa.table({"item_id": pa.array([], pa.string())}), tmp_path / "2.parquet")
    catalog = ingest(LOG, tmp_path)[0]
    rows = {row["item_id"]: row for row in catalog.table.to_pylist()}
    assert rows["a"] == {"item_id": "a", "title": "A", "price": 1, "brand": None}
    assert rows["b"] == {"item_id": "b", "title": "B", "price": None, "brand": "X"}
