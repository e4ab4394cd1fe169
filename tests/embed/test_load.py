"""Vectors that somebody brings: three formats, and what can be wrong with them."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genret.embed import _load, read_vectors
from genret.errors import GenretError
from genret.tensors import write_array

IDS = ["b", "a", "ü\t1"]
VECTORS = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint64])
def test_npy(tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "v.npy", VECTORS.astype(dtype))
    found = read_vectors(tmp_path / "v.npy", IDS)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, VECTORS)


def test_zarr(tmp_path: Path) -> None:
    write_array(tmp_path / "v", VECTORS.astype(np.float64))
    np.testing.assert_array_equal(read_vectors(tmp_path / "v", IDS), VECTORS)
    np.testing.assert_array_equal(read_vectors(f"file://{tmp_path}/v", IDS), VECTORS)


KINDS = {
    "list": pa.list_(pa.float32()),
    "large": pa.large_list(pa.float64()),
    "fixed": pa.list_(pa.float32(), 2),
    "integers": pa.list_(pa.int64()),
}


def write_parquet(path: Path, ids: Any, vectors: Any, kind: pa.DataType = KINDS["list"]) -> Path:
    table = pa.table({"item_id": pa.array(ids), "vector": pa.array(vectors, kind)})
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 2, 16384])
def test_parquet_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, batch: int,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(_load, "_BATCH", batch)
    ids = ["a", "not in the catalog", "ü\t1", "b"]
    rows = [[2, 3], [9, 9], [4, 5], [0, 1]]
    path = write_parquet(tmp_path / "v.parquet", ids, rows, KINDS[kind])
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(read_vectors(path, IDS), VECTORS)
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ids: Any, rows: Any, message: str, batch: int
) -> None:
    monkeypatch.setattr(_load, "_BATCH", batch)
    path = write_parquet(tmp_path / "v.parquet", pa.array(ids, pa.string()), rows)
    if batch == 1:
        message = message.replace("row 1", "row .")
    with pytest.raises(GenretError, match=message):
        read_vectors(path, IDS)


def test_parquet_without_ids(tmp_path: Path) -> None:
    pq.write_table(pa.table({"v": VECTORS.tolist()}), tmp_path / "v.parquet")
    with pytest.raises(GenretError, match="found no id column"):
        read_vectors(tmp_path / "v.parquet", IDS)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (VECTORS[:2], "found 2 rows, expected 3"),
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
    with pytest.raises(GenretError, match=message):
        read_vectors(tmp_path / "v.npy", IDS)


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
