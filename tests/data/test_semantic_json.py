"""The JSON family of LC-Rec: histories and items."""

import json
from collections.abc import Callable

import pytest

from genret.data._semantic_json import read_inter_json, read_item_json
from genret.errors import GenretError


def test_histories_keep_their_order() -> None:
    table, empty = read_inter_json(
        '{"ü": [3, "x", null, 3], "2": [], "0": ["a\\tb"]}'.encode(), "here"
    )
    assert empty == 1
    assert table.to_pydict() == {
        "user_id": ["ü", "ü", "ü", "ü", "0"],
        "item_id": ["3", "x", None, "3", "a\tb"],
    }


def test_items_have_a_column_for_every_field() -> None:
    fields = {
        "1": {"title": "映画", "categories": ["a", None, "", ["b", "c"]], "item_id": "other"},
        "2": {"price": 1.5, "title": None, "used": True, "more": {"x": 1}},
    }
    assert read_item_json(json.dumps(fields).encode(), "here").to_pydict() == {
        "item_id": ["1", "2"],
        "title": ["映画", None],
        "categories": ["a, b, c", None],
        "price": [None, "1.5"],
        "used": [None, "true"],
        "more": [None, '{"x": 1}'],
    }


@pytest.mark.parametrize(
    ("reader", "text", "message"),
    [
        (read_inter_json, b'{"1": 5}', "user '1': expected a list of item ids"),
        (read_inter_json, b'{"1": [1.5]}', "user '1': expected a list of item ids"),
        (read_inter_json, b'{"1": [true]}', "user '1': expected a list of item ids"),
        (read_inter_json, b'{"1": [[1]]}', "user '1': expected a list of item ids"),
        (read_inter_json, b'{"a": [1], "b": [2], "a": [3]}', "the key 'a' occurs more than once"),
        (read_inter_json, b'{"1": ["\\ud800"]}', "which is no Unicode text"),
        (read_inter_json, b'{"\\ud800": [1]}', "which is no Unicode text"),
        (read_inter_json, b'{"1": [' + b"9" * 5000 + b"]}", "cannot be read as JSON"),
        (read_inter_json, b"[" * 100_000, "cannot be read as JSON"),
        (read_inter_json, b'{"1": ["\xff"]}', "cannot be read as JSON"),
        (read_item_json, b'{"1": "title"}', "item '1': expected an object of fields"),
        (read_item_json, b'{"1": {"title": "\\udfff"}}', "which is no Unicode text"),
        (read_item_json, b'{"1": {"title": "a", "title": "b"}}', "the key 'title' occurs more"),
        (read_item_json, b"[]", "expected a JSON object"),
    ],
)
def test_bad_json_is_one_clear_line(reader: Callable, text: bytes, message: str) -> None:
    with pytest.raises(GenretError, match=f"^here: .*{message}") as found:
        reader(text, "here")
    assert str(found.value).isprintable()
    assert len(str(found.value)) < 400
