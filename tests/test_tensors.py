"""Arrays on disk: exact round trips, equal bytes, damage named."""

import contextlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genret.errors import GenretError
from genret.tensors import read_array, read_npy, write_array


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


def test_several_chunks_and_equal_bytes(tmp_path: Path) -> None:
    array = np.arange(100, dtype=np.int32).reshape(50, 2)
    write_array(tmp_path / "a", array, chunk_bytes=64)
    write_array(tmp_path / "b", array, chunk_bytes=64)
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


def npy(file: Path, shape: object, dtype: str = "<i4", data: bytes = b"") -> Path:
    """Write a .npy file whose header says whatever one likes."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (64 - (len(header) + 11) % 64) + b"\n"
    file.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data)
    return file


@pytest.mark.parametrize("array", [np.arange(6).reshape(3, 2), np.zeros((0, 3)), np.float32(3)])
def test_npy_files_are_read(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    found = read_npy(tmp_path / "a.npy")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    found += 1  # a copy of its own


@pytest.mark.parametrize(
    "make",
    [
        lambda f: npy(f, (10**15,)),
        lambda f: npy(f, (10**9, 10**9, 10**9)),
        lambda f: npy(f, (-1,)),
        lambda f: npy(f, (4,), data=b"123"),
        lambda f: npy(f, ("a",)),
        lambda f: npy(f, (2,), dtype="O", data=b"x" * 16),
        lambda f: npy(f, (2,), dtype="<U999999999999"),
        lambda f: npy(f, "(" * 500),
        lambda f: np.savez(f.with_suffix(".npz"), a=1) or f.with_suffix(".npz").rename(f),
        lambda f: f.write_bytes(b""),
        lambda f: f.write_bytes(b"\x93NUMPY\x01\x00\xff\xff{"),
        lambda f: f.write_bytes(b"\x80\x04K\x03."),
        lambda f: f.mkdir(),
        lambda f: f.symlink_to("nowhere"),
    ],
)
def test_hostile_npy_files_are_one_line(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "a.npy")
    with pytest.raises(GenretError, match=r"a\.npy: cannot be read as \.npy: ") as refused:
        read_npy(tmp_path / "a.npy")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


@settings(max_examples=200)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_flipped_byte_of_an_npy_header_is_one_line_or_an_array(
    tmp_path_factory: pytest.TempPathFactory, position: int, mask: int
) -> None:
    file = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(file, np.arange(4))
    raw = bytearray(file.read_bytes())
    raw[position % 128] ^= mask
    file.write_bytes(raw)
    with contextlib.suppress(GenretError):
        assert read_npy(file).nbytes <= 200


def test_a_zarr_header_that_claims_petabytes_is_refused(tmp_path: Path) -> None:
    write_array(tmp_path / "a", np.zeros(100))
    file = tmp_path / "a" / "zarr.json"
    header = json.loads(file.read_text())
    file.write_text(json.dumps(header | {"shape": [10**15]}))
    with pytest.raises(GenretError, match=r"header claims 8,000,000,000,000,000 bytes"):
        read_array(tmp_path / "a")
