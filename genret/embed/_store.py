"""The artifact ``vectors/``: ``vectors.npy`` and, where it was trained here, ``text.model``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genret.artifacts import read_manifest, verify_files, write_folder
from genret.checks import check_vectors
from genret.tensors import read_npy
from genret.typing import PathLike, Vectors

VECTORS_FILE = "vectors.npy"
TEXT_MODEL_FILE = "text.model"


def save_vectors(
    folder: PathLike,
    vectors: ArrayLike,
    *,
    text_model: bytes | None = None,
    config: Mapping[str, Any] | None = None,
    seed: int | None = None,
    inputs: Mapping[str, str] | None = None,
    summary: Mapping[str, Any] | None = None,
) -> None:
    """Write the artifact ``vectors/``.

    Args:
      folder: where.
      vectors: item vectors [N, D].
      text_model: the sentencepiece model that read the texts.
      config: the configuration, for the manifest.
      seed: the seed, for the manifest.
      inputs: kind -> fingerprint of the artifacts that the vectors come from.
      summary: further figures for the manifest.

    Raises:
      GenretError: bad vectors, or the folder cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as run:
    ...     save_vectors(f"{run}/vectors", np.eye(3))
    ...     load_vectors(f"{run}/vectors").shape
    (3, 3)
    """
    found = check_vectors(vectors)
    figures = {"items": found.shape[0], "width": found.shape[1], **(summary or {})}
    with write_folder(
        folder, "vectors", config=config, seed=seed, inputs=inputs, summary=figures
    ) as scratch:
        np.save(scratch / VECTORS_FILE, found, allow_pickle=False)
        if text_model is not None:
            (scratch / TEXT_MODEL_FILE).write_bytes(text_model)


def load_vectors(folder: PathLike) -> Vectors:
    """Read the vectors of the artifact ``vectors/``, float32 [N, D].

    Raises:
      GenretError: no such artifact, or damaged.
    """
    verify_files(folder, read_manifest(folder, "vectors"))
    file = Path(folder) / VECTORS_FILE
    return check_vectors(read_npy(file), str(file))
