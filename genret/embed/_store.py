"""The artifact ``vectors/``: ``vectors.npy`` and the files of the embedder that made them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genret.artifacts import read_manifest, verify_files, write_folder
from genret.checks import check_vectors
from genret.embed._embedder import HEADER, Embedder
from genret.errors import GenretError
from genret.tensors import read_npy
from genret.typing import PathLike, Vectors

VECTORS_FILE = "vectors.npy"


def save_vectors(
    folder: PathLike,
    vectors: ArrayLike,
    *,
    embedder: Embedder | None = None,
    config: Mapping[str, Any] | None = None,
    seed: int | None = None,
    inputs: Mapping[str, str] | None = None,
    summary: Mapping[str, Any] | None = None,
) -> None:
    """Write the artifact ``vectors/``.

    Args:
      folder: where.
      vectors: item vectors [N, D].
      embedder: what made them, to make vectors of new items later.
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
        if embedder is not None:
            embedder.save(scratch)


def load_vectors(folder: PathLike, most_bytes: int | None = None) -> Vectors:
    """Read the vectors of the artifact ``vectors/``, float32 [N, D].

    Args:
      folder: the artifact.
      most_bytes: vectors of more bytes stay in the file, which is mapped into memory
        (``np.memmap``); None: none do.

    Raises:
      GenretError: no such artifact, or damaged.
    """
    verify_files(folder, read_manifest(folder, "vectors"))
    file = Path(folder) / VECTORS_FILE
    return check_vectors(read_npy(file, most_bytes), str(file), mapped=True)


def load_embedder(folder: PathLike) -> Embedder:
    """Read the embedder of the artifact ``vectors/``.

    Raises:
      GenretError: no such artifact, damaged, or written without an embedder.
    """
    manifest = read_manifest(folder, "vectors")
    verify_files(folder, manifest)
    if HEADER not in manifest.files:
        raise GenretError(
            f"{folder}: was written without its embedder, and new items need one; run `genret embed` "
            "again, then `genret tokenize` and what follows"
        )
    return Embedder.load(folder)
