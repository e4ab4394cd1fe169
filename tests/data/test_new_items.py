"""Items that come to a catalog take its types; files that leave items name them by any format."""

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genret.config import ColumnsConfig
from genret.data import Catalog, read_item_ids, read_new_items
from genret.data._column_kinds import as_type
from genret.errors import GenretError

DAY = datetime.date(2026, 11, 21)
CATALOG = Catalog(
    pa.table(
        {
            "item_id": ["a1", "a2"],
            "title": ["Alien", "Aliens"],
            "code": ["007", "12"],
            "price": [9.5, 12.0],
            "in_stock": [True, None],
            "views": [3, 4],
            "added": [DAY, DAY],
        }
    )
)


def test_a_small_file_takes_the_types_of_the_catalog(tmp_path: Path) -> None:
    """What one row looks like by itself (a whole price, a 1) does not decide."""
    file = tmp_path / "new.csv"
    file.write_text(
        'sku,name,code,price,in_stock,views,added,color\n12,1984,8,"$1,200",1,,2026-11-22,red\n'
    )
    found = read_new_items(file, CATALOG)
    assert found.left_out == ("color",)
    assert found.table.schema == CATALOG.table.schema
    assert found.table.to_pylist() == [
        {
            "item_id": "12", "title": "1984", "code": "8", "price": 1200.0, "in_stock": True,
            "views": None, "added": DAY + datetime.timedelta(days=1),
        }
    ]  # fmt: skip


def test_columns_are_those_of_the_catalog_or_those_that_are_named() -> None:
    table = CATALOG.table.rename_columns({"item_id": "gid", "title": "label"})
    table = table.set_column(0, "gid", pa.array(["b1", "b2"]))
    told = ColumnsConfig(item="gid", title="label")
    assert read_new_items(table, CATALOG, told).table["item_id"].to_pylist() == ["b1", "b2"]
    named = read_new_items(table, CATALOG, item="gid", title="label").table
    assert named["title"].to_pylist() == ["Alien", "Aliens"]
    with pytest.raises(GenretError, match="has no column 'sku'; its columns are 'gid'"):
        read_new_items(table, CATALOG, told, item="sku")


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["Yes", "f", None, "1"], pa.bool_(), [True, False, None, True]),
        ([1, 0], pa.bool_(), [True, False]),
        (["2.0"], pa.int64(), [2]),
        ([None, None], pa.string(), [None, None]),
        (["2026-11-21"], pa.date32(), [DAY]),
    ],
)
def test_values_of_a_type(values: list, kind: pa.DataType, expected: list) -> None:
    found = as_type(pa.array(values), kind)
    assert (found.type, found.to_pylist()) == (kind, expected)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["soon"], pa.bool_()), ([2], pa.bool_()), ([1.5], pa.int64()), (["dear"], pa.float64()),
        (["2026-02-31"], pa.date32()),
    ],
)  # fmt: skip
def test_values_of_another_type_are_refused(values: list, kind: pa.DataType) -> None:
    with pytest.raises(pa.ArrowException):
        as_type(pa.array(values), kind)


def test_ids_of_items_in_any_format(tmp_path: Path) -> None:
    (tmp_path / "gone.csv").write_text("sku,reason\n7,sold\n12,sold\n7,again\n")
    pq.write_table(pa.table({"item_id": [12, 3]}), tmp_path / "more.parquet")
    files = [tmp_path / "gone.csv", tmp_path / "more.parquet"]
    assert read_item_ids(files) == ["7", "12", "3"]
    assert read_item_ids(pa.table({"gid": ["x"]}), item="gid") == ["x"]
    with pytest.raises(GenretError, match="found no column of the item"):
        read_item_ids(pa.table({"x": [1.5]}))
    with pytest.raises(GenretError, match="has no item id"):
        read_item_ids(pa.table({"item_id": pa.array([None], pa.string())}))
