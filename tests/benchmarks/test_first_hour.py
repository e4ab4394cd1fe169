"""The invented shop of the program that measures a first hour, and its bars."""

import csv
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet

from benchmarks.first_hour import FirstHour, write_shop


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return [*csv.DictReader(stream)]


def test_both_forms_hold_the_same_shop(tmp_path: Path) -> None:
    write_shop(tmp_path, users=60, items=40)
    for name, key in (("items", "sku"), ("log", "customer")):
        as_csv = rows_of(tmp_path / f"{name}.csv")
        as_parquet = pyarrow.parquet.read_table(tmp_path / f"{name}.parquet").to_pylist()
        assert [row[key] for row in as_csv] == [row[key] for row in as_parquet]
    known = {row["sku"] for row in rows_of(tmp_path / "items.csv")}
    new = {row["sku"] for row in rows_of(tmp_path / "tonight.csv")}
    assert (len(known), len(new), known & new) == (40, 30, set())
    bought = pyarrow.csv.read_csv(tmp_path / "log.csv")
    assert set(bought["sku"].to_pylist()) <= known
    fifty = {row["customer"] for row in rows_of(tmp_path / "fifty.csv")}
    assert fifty == {f"c{n}" for n in range(50)}


def test_a_slow_command_misses_its_bar() -> None:
    seconds = {"two_commands_csv_s": 105.0, "two_commands_parquet_s": 181.0, "recommend_s": 6.5}
    document = {"points": {"a shop": seconds}}
    values = {bar.name: bar.value(document) for bar in FirstHour.bars}
    missed = [b.name for b in FirstHour.bars if b.limit and values[b.name] > b.limit]
    assert list(values.values()) == list(seconds.values())
    assert missed == ["two commands from parquet, s", "recommend, first, s"]
