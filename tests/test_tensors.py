"""Arrays on disk: exact round trips, equal bytes, damage named."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genret import tensors
from genret.errors import GenretError
from genret.tensors import read_array, write_array


@settings(max_examples=30)
@given(
    hnp.arrays(
        st.sampled_from([np.bool_, np.uint8, np.uint16, np.int32, np.int64, np.uint32, np.float32]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9),
    )
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("zarr") / "a"
    write_array(path, array)
    found = read_array(path)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_several_chunks_and_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "CHUNK_BYTES", 64)
    array = np.arange(100, dtype=np.int32).reshape(50, 2)
    write_array(tmp_path / "a", array)
    write_array(tmp_path / "b", array)
    assert len(contents(tmp_path / "a")) == 1 + 7
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    np.testing.assert_array_equal(read_array(tmp_path / "a"), array)


def test_overwrites_a_larger_array(tmp_path: Path) -> None:
    write_array(tmp_path / "a", np.ones((9, 9)))
    write_array(tmp_path / "a", np.zeros(3, np.int16))
    assert read_array(tmp_path / "a").tolist() == [0, 0, 0]


def test_bad_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GenretError, match="found dtype"):
        write_array(tmp_path / "a", np.array(["text"]))
    assert not (tmp_path / "a").exists()


def test_missing_and_damaged_arrays_are_named(tmp_path: Path) -> None:
    with pytest.raises(GenretError, match=r"none: cannot be read .*does not exist"):
        read_array(tmp_path / "none")
    path = tmp_path / "a"
    write_array(path, np.random.default_rng(0).random((100, 10)))
    chunk = path / "c" / "0" / "0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-20])
    with pytest.raises(GenretError, match="Truncated") as truncated:
        read_array(path)
    assert "\n" not in str(truncated.value)
    chunk.unlink()
    with pytest.raises(GenretError, match="missing"):
        read_array(path)
    chunk.write_bytes(whole)
    (path / "zarr.json").write_text("{")
    with pytest.raises(GenretError, match="Invalid JSON"):
        read_array(path)


def test_zeros_are_stored_so_that_loss_is_noticed(tmp_path: Path) -> None:
    write_array(tmp_path / "a", np.zeros(4))
    (tmp_path / "a" / "c" / "0").unlink()
    with pytest.raises(GenretError, match="missing"):
        read_array(tmp_path / "a")


def test_a_path_through_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GenretError, match=r"file/a: cannot be written: .*Not a directory"):
        write_array(tmp_path / "file" / "a", np.ones(3))


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)], capture_output=True
    )
    if made.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        with pytest.raises(GenretError, match=r"cannot be written: .*No space left on device"):
            write_array(mount / "a", np.random.default_rng(0).random(100_000))
    finally:
        subprocess.run(["umount", str(mount)], check=True)
