"""Columns of items mean what they look like."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from genret.config import ColumnsConfig
from genret.data import Catalog, ingest, where
from genret.data._column_kinds import decide_type
from genret.errors import GenretError

LOG = pa.table({"user": [1, 1, 1], "item": [1, 2, 3]})


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["true", "False", None], "bool"),
        (["yes", None, "YES"], "bool"),
        (["0", "1"], "bool"),
        (["1", "1"], "int64"),
        (["y", "n"], "bool"),
        (["y", "y"], "string"),
        (["yes", "maybe"], "string"),
        (["true", "yes"], "string"),
        (["12", "-3", None], "int64"),
        (["007", "12"], "string"),
        (["1.5", "12"], "double"),
        (["01.5", "12"], "string"),
        (["$9.99", "$1,299.00", None], "double"),
        (["9.99 EUR", "12 EUR"], "double"),
        (["12,99 €", "3 €"], "string"),
        (["2026-11-21", None], "date32[day]"),
        (["2026-02-31"], "string"),
        (["2026-11-21T10:00:00Z", "2026-11-21 10:00"], "timestamp[us, tz=UTC]"),
        (["2026-11-21", "soon"], "string"),
        ([None, None], "string"),
    ],
)
def test_text_is_decided_over_the_whole_column(values: list, kind: str) -> None:
    column = decide_type(pa.array(values, pa.string()))
    assert str(column.type) == kind
    assert [v is None for v in column.to_pylist()] == [v is None for v in values]
    assert str(decide_type(pa.array([*values, "x y"], pa.string())).type) == "string"


def catalog_of(tmp_path: Path, **columns: Any) -> Catalog:
    file = tmp_path / "items.csv"
    file.write_text(
        "item_id,title,in_stock,price,added,category,code\n"
        "1,Lamp,yes,$9.99,2026-11-20,Home,007\n"
        '2,Mug,no,"$1,200.00",2026-11-22,Kitchen,008\n'
        "3,Pot,,,,Kitchen,\n"
    )
    return ingest(LOG, file, columns=ColumnsConfig(**columns))[0]


def test_only_text_is_embedded(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path)
    texts = dict(zip(catalog.item_ids.tolist(), catalog.text(), strict=True))
    assert texts == {1: "Lamp. Home. 007", 2: "Mug. Kitchen. 008", 3: "Pot. Kitchen"}
    for expression, expected in (
        ("in_stock", {1}),
        ("in_stock == 'no'", {2}),
        ("price < 100", {1}),
        ("added >= '2026-11-21'", {2}),
    ):
        assert set(catalog.item_ids[where(catalog, expression)].tolist()) == expected


def test_chosen_text_stays_with_the_catalog(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, text=("title", "added"))
    catalog.save(tmp_path)
    texts = dict(zip(catalog.item_ids.tolist(), Catalog.load(tmp_path).text(), strict=True))
    assert texts == {1: "Lamp. 2026-11-20", 2: "Mug. 2026-11-22", 3: "Pot"}
    with pytest.raises(
        GenretError, match=r"has no column 'nope' \(--text\); its columns are 'title'"
    ):
        catalog_of(tmp_path, text=("nope",))


def test_the_report_says_what_was_taken_for_what(tmp_path: Path) -> None:
    catalog_of(tmp_path)
    report = ingest(LOG, tmp_path / "items.csv")[2]
    assert report.said()[:3] == [
        "interactions (table): user = user, item = item",
        f"{tmp_path / 'items.csv'} (CSV): item = item_id, title = title",
        "items: text = title, category, code; conditions = in_stock; numbers = price; dates = added",
    ]
