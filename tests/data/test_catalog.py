"""The catalog: its order, finding items by what somebody types, its text, its file."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genret.data import Catalog
from genret.errors import GenretError

TABLE = pa.table(
    {
        "item_id": [11, 2, 30, 4, 5, 6, 77, 8],
        "title": ["Alien", "Aliens", "ALIEN", "Straße", "映画", "Up", "2", "Straßenbahn"],
        "brand": ["x", None, "", "y", "z", "w", "v", None],
        "tags": [["a", "b"], [], None, ["c"], [None, "d"], [], ["e"], None],
        "price": [1.5, 2.0, None, 3.0, 4.0, 5.0, 6.0, None],
    }
)
CATALOG = Catalog.from_table(TABLE)


def found(text: str) -> int:
    return int(CATALOG.item_ids[CATALOG.find(text)])


def test_the_order_depends_on_the_ids_alone() -> None:
    for order in (range(8), range(7, -1, -1), [3, 1, 4, 0, 7, 5, 2, 6]):
        assert Catalog.from_table(TABLE.take(pa.array(order))).table.equals(CATALOG.table)
    assert CATALOG.item_ids.tolist() != TABLE["item_id"].to_pylist()


def test_the_order_tells_nothing_of_the_numbering() -> None:
    n = 2000
    ids = Catalog.from_table(pa.table({"item_id": range(n), "title": map(str, range(n))})).item_ids
    assert abs(np.corrcoef(ids, np.arange(n))[0, 1]) < 0.08  # 3.5 standard errors


def test_rows_of_ids_in_either_type() -> None:
    for ids in (TABLE["item_id"].to_pylist(), map(str, TABLE["item_id"].to_pylist())):
        rows = CATALOG.rows_of(ids)
        assert rows.dtype == np.int32
        assert CATALOG.item_ids[rows].tolist() == TABLE["item_id"].to_pylist()
    assert CATALOG.rows_of([]).shape == (0,)
    with pytest.raises(GenretError, match="item '3' is not in the catalog of 8 items"):
        CATALOG.rows_of([2, 3])


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("11", 11),
        ("2", 2),  # an id before a title
        ("Alien", 11),  # the exact title before other cases
        ("ALIEN", 30),
        ("aliens", 2),
        ("STRASSE", 4),  # case-folded, not only lowered
        (" up ", 6),
        ("画", 5),
    ],
)
def test_find(text: str, item: int) -> None:
    assert found(text) == item


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alien", r"'alien' fits 2 items: .*\(id 11\).*; give an id"),
        ("lien", r"'lien' fits 3 items: .*Aliens"),
        ("Alein", r"no item has the id or title 'Alein'; did you mean .*Alien"),
        ("zzzz", r"no item has the id or title 'zzzz'$"),
        ("", r"no item has the id or title ''$"),
        ("  ", r"no item has the id or title '  '$"),
    ],
)
def test_find_says_why_not(text: str, message: str) -> None:
    with pytest.raises(GenretError, match=message):
        CATALOG.find(text)


def test_many_candidates_are_cut() -> None:
    table = pa.table({"item_id": range(9), "title": [f"Film {k}" for k in range(9)]})
    with pytest.raises(GenretError, match=r"'film' fits 9 items: .* and 4 more; give an id"):
        Catalog(table).find("film")


def test_text_joins_what_is_there() -> None:
    text = dict(zip(CATALOG.item_ids.tolist(), CATALOG.text(), strict=True))
    assert text == {
        11: "Alien. x. a, b", 2: "Aliens", 30: "ALIEN", 4: "Straße. y. c", 5: "映画. z. d",
        6: "Up. w", 77: "2. v. e", 8: "Straßenbahn",
    }  # fmt: skip
    chosen = CATALOG.text(["price", "title"])
    assert chosen[CATALOG.find("11")] == "1.5. Alien"
    assert chosen[CATALOG.find("30")] == "ALIEN"
    with pytest.raises(GenretError, match="has no column 'x'; its columns are item_id, title, bra"):
        CATALOG.text(["x"])


@pytest.mark.parametrize("ids", [[3, 1, 2], ["ü", "a\tb", "007"]])
def test_round_trip(ids: list, tmp_path: Path) -> None:
    catalog = Catalog.from_table(
        pa.table({"item_id": ids, "title": ["x", "", "映"], "p": [[1]] * 3})
    )
    catalog.save(tmp_path)
    loaded = Catalog.load(tmp_path)
    assert loaded.table.equals(catalog.table)
    assert loaded.titles == catalog.titles
    assert sorted(loaded.item_ids.tolist()) == sorted(ids)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"title": ["a"]}, "has no column 'item_id'"),
        ({"item_id": [1]}, "has no column 'title'"),
        ({"item_id": [1.0], "title": ["a"]}, "'item_id' is double, expected int64 or string"),
        ({"item_id": [1], "title": [2]}, "'title' is int64, expected string"),
        ({"item_id": [1, None], "title": ["a", "b"]}, "'item_id' has 1 nulls"),
        ({"item_id": [1, 2], "title": ["a", None]}, "'title' has 1 nulls"),
        (
            {"item_id": [1, 1], "title": ["a", "b"]},
            "1 distinct ids in 2 rows, expected no id twice",
        ),
    ],
)
def test_what_is_no_catalog(columns: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(GenretError, match=message):
        Catalog(pa.table(columns))
    pq.write_table(pa.table(columns), tmp_path / "items.parquet")
    with pytest.raises(GenretError, match=message):
        Catalog.load(tmp_path)


def test_a_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(GenretError, match=r"items\.parquet: no such file"):
        Catalog.load(tmp_path)
    CATALOG.save(tmp_path)
    file = tmp_path / "items.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(GenretError, match=r"items\.parquet: cannot be read as Parquet"):
        Catalog.load(tmp_path)
