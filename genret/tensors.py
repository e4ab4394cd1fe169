"""Arrays on disk as zarr3 through tensorstore: the one file that imports it.

Chunks are compressed by zstd. The bytes written are a function of the array alone, so that
artifacts made of equal arrays have equal fingerprints.
"""

import math
import os
import re
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genret.errors import GenretError
from genret.typing import PathLike

CHUNK_BYTES = 16 * 2**20
"""Size of a chunk before compression."""


def write_array(path: PathLike, array: ArrayLike) -> None:
    """Write an array as a zarr3 folder, replacing an array that is there.

    Args:
      path: the folder to write.
      array: numbers or booleans of any shape.

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
    rows = max(1, CHUNK_BYTES // max(1, row_bytes))
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
        return np.asarray(ts.open(spec, open=True, read=True).result().read().result())
    except (ValueError, OSError) as e:
        raise GenretError(f"{path}: cannot be read as a zarr3 array: {_reason(e)}") from e


def _spec(path: PathLike) -> dict[str, Any]:
    text = os.fspath(path)
    where: Any = text if "://" in text else {"driver": "file", "path": os.path.abspath(text)}
    return {"driver": "zarr3", "kvstore": where}


def _reason(error: Exception) -> str:
    """Return the message of a tensorstore error without its dump of the whole specification."""
    return re.sub(r"\s*\[[\w ]+='.*", "", str(error), flags=re.DOTALL).replace("\0", "/")
