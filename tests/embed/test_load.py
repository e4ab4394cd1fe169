"""Vectors that somebody brings: their formats, their ids, and what can be wrong with them."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genret.embed import read_vectors
from genret.errors import GenretError
from genret.tensors import write_array

IDS = ["b", "a", "ü\t1"]
VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2)
SHUFFLED = [2, 0, 1]
KINDS = {
    "list": pa.list_(pa.float32()),
    "large": pa.large_list(pa.float64()),
    "fixed": pa.list_(pa.float32(), 2),
    "integers": pa.list_(pa.int64()),
}


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    """Return a file with the ids of the rows, in another order than the catalog's."""
    file = tmp_path / "ids.json"
    file.write_text(json.dumps([IDS[row] for row in SHUFFLED]))
    return file


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint64])
def test_npy_with_ids(tmp_path: Path, dtype: type, ids: Path) -> None:
    np.save(tmp_path / "v.npy", VECTORS[SHUFFLED].astype(dtype))
    found = read_vectors(tmp_path / "v.npy", IDS, ids=ids)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, VECTORS)


def test_zarr_with_ids(tmp_path: Path, ids: Path) -> None:
    write_array(tmp_path / "v", VECTORS[SHUFFLED].astype(np.float64))
    np.testing.assert_array_equal(read_vectors(tmp_path / "v", IDS, ids=ids), VECTORS)
    np.testing.assert_array_equal(read_vectors(f"file://{tmp_path}/v", IDS, ids=ids), VECTORS)


def test_arrays_without_ids_are_refused_with_the_reason(tmp_path: Path) -> None:
    """The rows of a catalog are not in the order of anybody's file."""
    np.save(tmp_path / "v.npy", VECTORS)
    write_array(tmp_path / "v", VECTORS)
    for name in ("v.npy", "v"):
        with pytest.raises(
            GenretError, match=r"without ids, .* order of their own; give --ids FILE"
        ):
            read_vectors(tmp_path / name, IDS)


def test_ids_come_in_several_forms(tmp_path: Path) -> None:
    names = [IDS[row] for row in SHUFFLED]
    np.save(tmp_path / "v.npy", VECTORS[SHUFFLED])
    (tmp_path / "ids.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (tmp_path / "ids.json").write_text(json.dumps(names))
    np.save(tmp_path / "ids.npy", np.array(names))
    pq.write_table(pa.table({"sku": names, "title": names}), tmp_path / "ids.parquet")
    for name in ("ids.txt", "ids.json", "ids.npy", "ids.parquet"):
        found = read_vectors(tmp_path / "v.npy", IDS, ids=tmp_path / name)
        np.testing.assert_array_equal(found, VECTORS)
    np.savez(tmp_path / "v.npz", ids=np.array(names), vectors=VECTORS[SHUFFLED])
    np.testing.assert_array_equal(read_vectors(tmp_path / "v.npz", IDS), VECTORS)
    np.savez(tmp_path / "n.npz", item_ids=np.array([3, 1, 2]), x=VECTORS[[2, 0, 1]])
    np.testing.assert_array_equal(read_vectors(tmp_path / "n.npz", [1, 2, 3]), VECTORS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ids.json", '["b", "a"]', "found 3 vectors and 2 ids"),
        ("ids.json", '["b", "a", "a"]', "item 'a' occurs more than once"),
        ("ids.json", '["b", "a", "c"]', r"has no vectors for 1 of the 3 items .* such as 'ü\\t1'"),
        ("ids.json", '{"b": 1}', "expected a list of ids"),
        ("ids.json", "[", "cannot be read as ids"),
        ("ids.txt", b"\xff", "cannot be read as ids"),
        ("ids.csv", "b\na", "expected ids in a .txt, .json, .npy or .parquet file"),
        ("ids.npy", "junk", "cannot be read as .npy"),
        ("ids.parquet", "junk", "cannot be read as ids"),
    ],
)
def test_bad_ids_are_named(tmp_path: Path, name: str, content: Any, message: str) -> None:
    np.save(tmp_path / "v.npy", VECTORS)
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(GenretError, match=message) as error:
        read_vectors(tmp_path / "v.npy", IDS, ids=tmp_path / name)
    assert "\n" not in str(error.value)


def test_bad_archives_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", vectors=VECTORS)
    with pytest.raises(GenretError, match=r"found the arrays vectors, expected one of ids"):
        read_vectors(tmp_path / "v.npz", IDS)
    np.savez(tmp_path / "v.npz", ids=np.ones(3), vectors=VECTORS)
    with pytest.raises(GenretError, match=r"v\.npz: ids: found float64 \(3,\), expected ids"):
        read_vectors(tmp_path / "v.npz", IDS)
    with pytest.raises(GenretError, match="has ids of its own; leave --ids out"):
        read_vectors(tmp_path / "v.npz", IDS, ids=tmp_path / "ids.txt")


@pytest.mark.parametrize(
    "column",
    [
        pa.array(IDS).dictionary_encode(),
        pa.array(IDS, pa.string_view()),
        pa.array(IDS, pa.large_string()),
    ],
    ids=["category", "string_view", "large_string"],
)
def test_ids_of_any_type_of_text(tmp_path: Path, column: pa.Array) -> None:
    table = pa.table({"asin": column, "v": pa.array(VECTORS.tolist(), KINDS["list"])})
    pq.write_table(table, tmp_path / "v.parquet")
    np.testing.assert_array_equal(read_vectors(tmp_path / "v.parquet", IDS), VECTORS)


def test_the_column_of_ids_can_be_named(tmp_path: Path) -> None:
    columns = {"wares": IDS, "maker": ["x", "y", "z"], "v": VECTORS.tolist()}
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    with pytest.raises(GenretError, match=r"wares, maker could be it\); name it with --item"):
        read_vectors(tmp_path / "v.parquet", IDS)
    found = read_vectors(tmp_path / "v.parquet", IDS, item="wares")
    np.testing.assert_array_equal(found, VECTORS)
    with pytest.raises(GenretError, match="has no column 'ware'; it has wares, maker, v"):
        read_vectors(tmp_path / "v.parquet", IDS, item="ware")
    with pytest.raises(GenretError, match="column 'v' is of type list"):
        read_vectors(tmp_path / "v.parquet", IDS, item="v")


def write_parquet(path: Path, ids: Any, vectors: Any, kind: pa.DataType = KINDS["list"]) -> Path:
    table = pa.table({"item_id": pa.array(ids), "vector": pa.array(vectors, kind)})
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 2, 16384])
def test_parquet_in_any_order(
    tmp_path: Path, kind: str, batch: int, caplog: pytest.LogCaptureFixture
) -> None:
    ids = ["a", "not in the catalog", "ü\t1", "b"]
    rows = [[2, 3], [9, 9], [4, 5], [0, 1]]
    path = write_parquet(tmp_path / "v.parquet", ids, rows, KINDS[kind])
    with caplog.at_level(logging.WARNING):
        found = read_vectors(path, IDS, batch_rows=batch)
    np.testing.assert_array_equal(found, VECTORS)
    assert "1 items of the file are not in the catalog; their vectors are left out" in caplog.text


def test_parquet_ids_are_compared_as_text(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "v.parquet", [30, 10, 20], VECTORS.tolist())
    np.testing.assert_array_equal(read_vectors(path, np.array([10, 20, 30])), VECTORS[[1, 2, 0]])
    np.testing.assert_array_equal(read_vectors(path, ["10", "20", "30"]), VECTORS[[1, 2, 0]])


def test_parquet_column_is_named_where_there_are_several(tmp_path: Path) -> None:
    kind = pa.list_(pa.float32())
    columns = {"id": IDS, "x": pa.array(VECTORS.tolist(), kind), "name": ["", "", ""]}
    pq.write_table(pa.table(columns | {"y": pa.array((VECTORS + 1).tolist(), kind)}), tmp_path / "v.parquet")  # fmt: skip
    np.testing.assert_array_equal(read_vectors(tmp_path / "v.parquet", IDS, "y"), VECTORS + 1)
    with pytest.raises(GenretError, match=r"found 2 columns .*\(x, y\)"):
        read_vectors(tmp_path / "v.parquet", IDS)
    with pytest.raises(GenretError, match="has no column 'z'; it has id, x, name, y"):
        read_vectors(tmp_path / "v.parquet", IDS, "z")
    with pytest.raises(GenretError, match="column 'name' is of type string"):
        read_vectors(tmp_path / "v.parquet", IDS, "name")


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("ids", "rows", "message"),
    [
        (
            IDS[:2],
            [[0, 1], [2, 3]],
            r"has no vectors for 1 of the 3 items of the catalog, such as 'ü\\t1'",
        ),
        ([*IDS, "a"], [[0, 1]] * 4, "item 'a' occurs more than once"),
        (IDS, [[0, 1], None, [2, 3]], "item 'a' has no vector"),
        (["b", None, "a"], [[0, 1]] * 3, "row 1 has no id"),
        (IDS, [[0, 1], [2], [3, 4]], "item 'a' has a vector of 1 numbers, the items before 2"),
        (IDS, [[0, 1], [2, NAN], [3, 4]], r"row 1 \(item 'a'\) holds nan at position 1"),
        (IDS, [[0, 1], [2, 3], [None, 4]], r"\(item 'ü\\t1'\) holds nan at position 0"),
        ([], [], "has no vectors for 3 of the 3 items of the catalog"),
    ],
)
@pytest.mark.parametrize("batch", [1, 16384])
def test_bad_parquet_names_the_item(
    tmp_path: Path, ids: Any, rows: Any, message: str, batch: int
) -> None:
    path = write_parquet(tmp_path / "v.parquet", pa.array(ids, pa.string()), rows)
    if batch == 1:
        message = message.replace("row 1", "row .")
    with pytest.raises(GenretError, match=message):
        read_vectors(path, IDS, batch_rows=batch)


def test_parquet_without_ids(tmp_path: Path) -> None:
    pq.write_table(pa.table({"v": VECTORS.tolist()}), tmp_path / "v.parquet")
    with pytest.raises(GenretError, match="found no column of ids"):
        read_vectors(tmp_path / "v.parquet", IDS)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (VECTORS[:2], "found 2 vectors and 3 ids"),
        (VECTORS[0], r"found shape \(2,\)"),
        (np.zeros((3, 0)), r"found shape \(3, 0\)"),
        (np.array([[0, 1], [2, NAN], [0, 0]]), r"row 1 \(item 'a'\) holds nan at position 1"),
        (np.array([[0, INF], [2, 3], [0, 0]]), r"row 0 \(item 'b'\) holds inf"),
        (np.array([[0, 1e39], [2, 3], [0, 0]]), r"row 0 \(item 'b'\) holds 1e\+39"),
        (VECTORS.astype(str), "found dtype <U"),
        (VECTORS.astype(complex), "found dtype complex128"),
        (VECTORS.astype(bool), "found dtype bool"),
    ],
)
def test_bad_npy(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "v.npy", array)
    (tmp_path / "ids.json").write_text(json.dumps(IDS))
    with pytest.raises(GenretError, match=message):
        read_vectors(tmp_path / "v.npy", IDS, ids=tmp_path / "ids.json")


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([[1, 2], [3]], object), allow_pickle=True)
    with pytest.raises(GenretError, match=r"cannot be read as \.npy: .*Python objects"):
        read_vectors(tmp_path / "v.npy", IDS)


@pytest.mark.parametrize("name", ["v.npy", "v.parquet", "v.txt", "folder", "none.npy"])
def test_binary_junk_is_one_clear_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif name != "none.npy":
        path.write_bytes(b"\x00\xff junk")
    with pytest.raises(GenretError, match=name) as error:
        read_vectors(path, IDS)
    assert "\n" not in str(error.value)


def test_archives_and_wrong_options_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "v", a=VECTORS)
    (tmp_path / "v.npz").rename(tmp_path / "v.npy")
    with pytest.raises(GenretError, match="holds several arrays"):
        read_vectors(tmp_path / "v.npy", IDS)
    with pytest.raises(GenretError, match="is no Parquet file"):
        read_vectors(tmp_path / "v.npy", IDS, "vector")
