"""The JSON family of LC-Rec: histories, items and ready semantic IDs."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genret.data import ingest, read_semantic_ids
from genret.data._semantic_json import read_inter_json, read_item_json
from genret.errors import GenretError


def test_histories_keep_their_order() -> None:
    table = read_inter_json('{"ü": [3, "x", null, 3], "2": [], "0": ["a\\tb"]}'.encode(), "here")
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


def write(folder: Path, codes: object) -> Path:
    file = folder / "x.index.json"
    file.write_text(codes if isinstance(codes, str) else json.dumps(codes))
    return file


def test_codes_in_the_order_of_the_catalogue(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (50, 4)).astype(np.int32)
    ids = [f"i{k}" for k in rng.permutation(50)]
    tokens = {
        i: [f"<{'abcd'[level]}_{code}>" for level, code in enumerate(row)]
        for i, row in zip(ids, codes, strict=True)
    }
    shuffled = {i: tokens[i] for i in sorted(ids)}
    found = read_semantic_ids(write(tmp_path, shuffled), ids)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, codes)
    plain = dict(zip(ids, codes.tolist(), strict=True))
    np.testing.assert_array_equal(read_semantic_ids(write(tmp_path, plain), ids), codes)
    np.testing.assert_array_equal(read_semantic_ids(write(tmp_path, plain), ids[:3]), codes[:3])


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ({"1": ["<a_0>"]}, "has no codes for item '2' of the catalogue"),
        ({"1": ["<a_0>"], "2": []}, "item '2': expected a list of codes"),
        ({"1": ["<a_0>"], "2": "<a_0>"}, "item '2': expected a list of codes"),
        ({"1": ["<a_0>", "<b_1>"], "2": ["<a_0>"]}, "item '2' has 1 codes, the items before 2"),
        (
            {"1": ["<a_0>", "<b_1>"], "2": ["<b_0>", "<a_1>"]},
            r"'2': levels are lettered \['b', 'a'\]",
        ),
        ({"1": ["<a_-1>"], "2": ["<a_0>"]}, "item '1': found the code '<a_-1>', expected one like"),
        ({"1": [0.5], "2": [1]}, "item '1': found the code '0.5'"),
        ({"1": [True], "2": [1]}, "item '1': found the code 'True'"),
        ({"1": [-1], "2": [1]}, "item '1': found the code '-1'"),
        ({"1": [2**31], "2": [1]}, "item '1': found the code '2147483648'"),
        ({"1": ["<a_9999999999>"], "2": [1]}, "item '1': found the code '<a_9999999999>'"),
        ({"1": [1], "2": ["<a_1>"]}, r"item '2': levels are lettered \['a'\]"),
        ([["<a_0>"]], r"expected a JSON object \{item: \[code, ...\]\} that is not empty"),
        ("{}", "expected a JSON object"),
        ('{"1": [1], "1": [2]}', "the key '1' occurs more than once"),
        ('{"1": [1]', "cannot be read as JSON: .* line 1 column"),
        ("", "cannot be read as JSON"),
    ],
)
def test_what_are_no_codes(codes: object, message: str, tmp_path: Path) -> None:
    file = write(tmp_path, codes)
    with pytest.raises(GenretError, match=message) as found:
        read_semantic_ids(file, [1, 2])
    assert str(found.value).startswith(f"{file}: ")
    with pytest.raises(GenretError, match=r"nope: no such file \(semantic IDs\)"):
        read_semantic_ids(tmp_path / "nope", [1])


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


@pytest.mark.parametrize(("name", "distinct"), [("office", 2415), ("beauty", 12089)])
def test_shipped_ids_are_as_their_readme_says(name: str, distinct: int, shared_data: Path) -> None:
    folder = shared_data / name
    catalog, _, _ = ingest(folder / "inter.json")
    codes = read_semantic_ids(folder / "index.json", catalog.item_ids.tolist())
    assert codes.shape == (catalog.num_items, 4)
    assert 0 <= codes.min() <= codes.max() < 256
    assert len(np.unique(codes, axis=0)) == distinct
