"""Arrays on disk: zarr3 through tensorstore, which this file alone imports, and NumPy's format.

Chunks are compressed by zstd. The bytes written are a function of the array alone, so that
artifacts made of equal arrays have equal fingerprints.
"""

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genret.errors import GenretError
from genret.typing import PathLike

CHUNK_BYTES = 16 * 2**20
"""Size of a chunk before compression."""
_MOST_COMPRESSION = 40_000
"""Bytes that a byte of zstd holds at most: an array that is said to be larger is not there."""


def write_array(path: PathLike, array: ArrayLike, *, chunk_bytes: int = CHUNK_BYTES) -> None:
    """Write an array as a zarr3 folder, replacing an array that is there.

    Args:
      path: the folder to write.
      array: numbers or booleans of any shape.
      chunk_bytes: size of a chunk before compression.

    Raises:
      GenretError: the array's type cannot be stored, or the folder cannot be written (the message
        gives the operating system's reason, e.g. a full disk).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_array(f"{folder}/codes", np.arange(6, dtype=np.uint16).reshape(3, 2))
    ...     read_array(f"{folder}/codes").tolist()
    [[0, 1], [2, 3], [4, 5]]
    """
    import tensorstore as ts

    values = np.asarray(array)
    if values.dtype.kind not in "biuf":
        raise GenretError(f"{path}: found dtype {values.dtype}, expected numbers or booleans")
    row_bytes = values.itemsize * math.prod(values.shape[1:])
    rows = max(1, chunk_bytes // max(1, row_bytes))
    chunk = [max(1, min(n, rows) if axis == 0 else n) for axis, n in enumerate(values.shape)]
    spec = _spec(path) | {
        "metadata": {
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "zstd", "configuration": {"level": 3}},
            ],
        },
        # A chunk of zeros is stored like any other: a chunk that is not there is damage.
        "store_data_equal_to_fill_value": True,
        # Artifacts are flushed as a whole by genret.artifacts, not chunk by chunk.
        "context": {"file_io_sync": False},
    }
    try:
        store = ts.open(
            spec, create=True, delete_existing=True, dtype=values.dtype, shape=values.shape
        ).result()
        store.write(values).result()
    except (ValueError, OSError) as e:
        raise GenretError(f"{path}: cannot be written: {_reason(e)}") from e


def read_array(path: PathLike) -> np.ndarray:
    """Read an array that :func:`write_array` or any other writer of zarr3 left.

    Args:
      path: the folder, or a URL that tensorstore knows (``gs://bucket/array``).

    Returns:
      The array in memory.

    Raises:
      GenretError: there is no array, or it is damaged or lacks a chunk.
    """
    import tensorstore as ts

    spec = _spec(path) | {"fill_missing_data_reads": False}
    try:
        store = ts.open(spec, open=True, read=True).result()
        _check_size(path, store)
        return np.asarray(store.read().result())
    except (ValueError, OSError, MemoryError) as e:
        raise GenretError(f"{path}: cannot be read as a zarr3 array: {_reason(e)}") from e


def read_npy(path: PathLike, most_bytes: int | None = None) -> np.ndarray:
    """Read an array in NumPy's format; what its header claims is not believed, but compared.

    Args:
      path: a ``.npy`` file.
      most_bytes: an array of more bytes stays in the file, which is mapped into memory; None: none
        does.

    Returns:
      The array in memory, or an ``np.memmap`` that is read only.

    Raises:
      GenretError: the file cannot be read, holds Python objects or several arrays, or is shorter than
        its header says.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/codes.npy", np.arange(3))
    ...     read_npy(f"{folder}/codes.npy").tolist()
    [0, 1, 2]
    """
    try:
        if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for
            raise ValueError("is no regular file")
        # Mapped first: that needs no memory, and fails where the file is too short.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(mapped, np.ndarray):
            stays = most_bytes is not None and mapped.nbytes > most_bytes
            return mapped if stays else np.array(mapped)
    except Exception as e:  # the header is a Python literal, whose parser raises a dozen errors
        reason = getattr(e, "strerror", None) or (str(e).splitlines() or [type(e).__name__])[0]
        if "Python objects" in reason:
            reason = "holds Python objects, expected numbers or text"
        raise GenretError(f"{path}: cannot be read as .npy: {reason}") from e
    mapped.close()
    raise GenretError(f"{path}: cannot be read as .npy: holds several arrays (.npz), expected one")


def _check_size(path: PathLike, store: Any) -> None:
    """Refuse a local array whose header claims more than its files can hold."""
    folder = Path(os.fspath(path))
    if "://" in os.fspath(path) or not folder.is_dir():
        return
    claimed = store.dtype.numpy_dtype.itemsize * math.prod(store.shape)
    found = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if claimed > found * _MOST_COMPRESSION:
        raise GenretError(
            f"{path}: its header claims {claimed:,} bytes, which {found:,} bytes on the disk cannot "
            "hold: damaged"
        )


def _spec(path: PathLike) -> dict[str, Any]:
    text = os.fspath(path)
    where: Any = text if "://" in text else {"driver": "file", "path": os.path.abspath(text)}
    return {"driver": "zarr3", "kvstore": where}


def _reason(error: Exception) -> str:
    """Return the message of a tensorstore error without its dump of the whole specification."""
    return re.sub(r"\s*\[[\w ]+='.*", "", str(error), flags=re.DOTALL).replace("\0", "/")
