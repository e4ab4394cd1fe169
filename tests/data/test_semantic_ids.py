"""Ready semantic IDs in everyone's forms: read, written, and refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest

from genret.data import ingest, read_semantic_ids, write_semantic_ids
from genret.errors import GenretError


def write(folder: Path, codes: object) -> Path:
    file = folder / "x.index.json"
    file.write_text(codes if isinstance(codes, str) else json.dumps(codes))
    return file


def test_codes_in_the_order_of_the_catalog(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (50, 4)).astype(np.int32)
    ids = [f"i{k}" for k in rng.permutation(50)]
    tokens = {
        i: [f"<{'abcd'[level]}_{code}>" for level, code in enumerate(row)]
        for i, row in zip(ids, codes, strict=True)
    }
    shuffled = {i: tokens[i] for i in sorted(ids)}
    found = read_semantic_ids(write(tmp_path, shuffled), ids).codes
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, codes)
    plain = dict(zip(ids, codes.tolist(), strict=True))
    np.testing.assert_array_equal(read_semantic_ids(write(tmp_path, plain), ids).codes, codes)
    np.testing.assert_array_equal(
        read_semantic_ids(write(tmp_path, plain), ids[:30]).codes, codes[:30]
    )


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ({"1": ["<a_0>"]}, "has no codes for 1 of the 2 items of the catalog, such as '2'"),
        ({"1": ["<a_0>"], "2": []}, "item '2': expected a list of codes"),
        ({"1": ["<a_0>"], "2": "a_0"}, "item '2': expected a list of codes"),
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
        ([["<a_0>"]], "1 of its 1 items are not in the catalog, such as '0'"),
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


FORMS = {
    "letters": {"7": ["<a_1>", "<b_0>"], "5": ["<a_2>", "<b_3>"]},
    "integers": {"7": [1, 0], "5": [2, 3]},
    "one text": {"7": "<a_1><b_0>", "5": "<a_2><b_3>"},
    "OpenOneRec": {
        "7": "<|sid_begin|><s_a_1><s_b_0><|sid_end|>",
        "5": "<|sid_begin|><s_a_2><s_b_3><|sid_end|>",
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_everyones_forms(form: str, tmp_path: Path) -> None:
    file = write(tmp_path, FORMS[form])
    assert read_semantic_ids(file, [5, 7]).codes.tolist() == [[2, 3], [1, 0]]
    found = read_semantic_ids(file)
    assert found.ids_of([0, 1]).tolist() == ["7", "5"]
    assert found.codes.tolist() == [[1, 0], [2, 3]]


def test_rows_are_items_by_number(tmp_path: Path) -> None:
    """GRID: the items are 0 to N - 1 and the file is an array."""
    rows = [[3, 1, 0], [2, 2, 2], [0, 9, 5]]
    file = write(tmp_path, rows)
    np.save(tmp_path / "x.npy", np.array(rows, np.uint16))
    for name in (file, tmp_path / "x.npy"):
        assert read_semantic_ids(name, [2, 0]).codes.tolist() == [rows[2], rows[0]]
        assert read_semantic_ids(name).ids_of([0, 1, 2]).tolist() == ["0", "1", "2"]
    with pytest.raises(GenretError, match=r"3 of its 3 items are not in the catalog, such as '0'"):
        read_semantic_ids(file, [3])
    np.save(tmp_path / "x.npy", np.array(rows, float))
    with pytest.raises(GenretError, match=r"found float64 \(3, 3\), expected integers"):
        read_semantic_ids(tmp_path / "x.npy")
    (tmp_path / "x.pt").write_bytes(b"PK")
    with pytest.raises(GenretError, match=r"a pickle is not read .* as \.npy or JSON"):
        read_semantic_ids(tmp_path / "x.pt")


@pytest.mark.parametrize("style", ["letters", "integers", "lists"])
def test_what_is_written_is_read_again(style: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2**20, (30, 5))
    ids = rng.permutation(30) if style == "lists" else [f'ü"{i}' for i in range(30)]
    file = tmp_path / "x.json"
    write_semantic_ids(file, ids, codes, style)  # type: ignore[arg-type]
    np.testing.assert_array_equal(read_semantic_ids(file, ids).codes, codes)
    assert [f.name for f in tmp_path.iterdir()] == ["x.json"]
    before = file.read_bytes()
    with pytest.raises(GenretError, match="for 29 items, expected integers"):
        write_semantic_ids(file, ids[:29], codes)
    with pytest.raises(GenretError, match="27 levels, expected at most 26"):
        write_semantic_ids(file, ["a"], np.zeros((1, 27), int))
    with pytest.raises(GenretError, match="1 is missing: 'lists' asks for 0 to N - 1"):
        write_semantic_ids(file, [0, 2], [[0], [1]], "lists")
    with pytest.raises(GenretError, match="cannot be written"):
        write_semantic_ids(tmp_path / "no" / "x.json", ids, codes)
    assert file.read_bytes() == before


@pytest.mark.parametrize(("name", "distinct"), [("office", 2415), ("beauty", 12089)])
def test_shipped_ids_are_as_their_readme_says(name: str, distinct: int, shared_data: Path) -> None:
    folder = shared_data / name
    catalog, _, _ = ingest(folder / "inter.json")
    codes = read_semantic_ids(folder / "index.json", catalog.item_ids.tolist()).codes
    assert codes.shape == (catalog.num_items, 4)
    assert 0 <= codes.min() <= codes.max() < 256
    assert len(np.unique(codes, axis=0)) == distinct
