"""The artifact ``codes/``: semantic IDs of the catalog and the tokenizer that made them.

codes.npy                                  int32 [N, L]
tokenizer.json, tokenizer.safetensors      only where they were made here of vectors
text.model                                 only where they are titles: the pieces
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genret.artifacts import read_manifest, verify_files, write_folder
from genret.errors import GenretError
from genret.tokenizers._base import Tokenizer, check_codes
from genret.tokenizers._fsq import FSQ
from genret.tokenizers._hierarchical import HierarchicalKMeans
from genret.tokenizers._pq import OPQ, PQ
from genret.tokenizers._rq_kmeans import RQKMeans
from genret.tokenizers._rq_vae import RQVAE
from genret.tokenizers._vector import VectorTokenizer, read_header
from genret.typing import Codes, PathLike

CODES_FILE = "codes.npy"
TEXT_MODEL_FILE = "text.model"
TOKENIZERS: dict[str, type[VectorTokenizer]] = {
    cls.kind: cls for cls in (RQKMeans, RQVAE, FSQ, PQ, OPQ, HierarchicalKMeans)
}
"""Tokenizers of vectors by the name of their method."""


def save_codes(
    folder: PathLike,
    codes: ArrayLike,
    codes_per_level: Sequence[int],
    *,
    tokenizer: Tokenizer | None = None,
    end_code: int | None = None,
    text_model: bytes | None = None,
    report: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    seed: int | None = None,
    inputs: Mapping[str, str] | None = None,
) -> None:
    """Write the artifact ``codes/``.

    Args:
      folder: where.
      codes: integers [N, L].
      codes_per_level: codes of each level, [L].
      tokenizer: what made them, to give codes to new items later.
      end_code: the code that ends a semantic ID of fewer than L codes; None: there is none.
      text_model: the sentencepiece model of titles.
      report: figures for the manifest.
      config: the configuration, for the manifest.
      seed: the seed, for the manifest.
      inputs: kind -> fingerprint of the artifacts that the codes come from.

    Raises:
      GenretError: codes out of range, or the folder cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as run:
    ...     save_codes(f"{run}/codes", [[0, 1], [2, 0]], [3, 2])
    ...     codes, sizes = load_codes(f"{run}/codes")
    >>> codes.tolist(), sizes
    ([[0, 1], [2, 0]], (3, 2))
    """
    found, sizes = check_codes(codes, codes_per_level)
    summary = {"items": len(found), "codes_per_level": list(sizes), "report": dict(report or {})}
    if end_code is not None:
        summary["end_code"] = end_code
    with write_folder(
        folder, "codes", config=config, seed=seed, inputs=inputs, summary=summary
    ) as scratch:
        np.save(scratch / CODES_FILE, found, allow_pickle=False)
        if tokenizer is not None:
            tokenizer.save(scratch)
        if text_model is not None:
            (scratch / TEXT_MODEL_FILE).write_bytes(text_model)


def load_codes(folder: PathLike) -> tuple[Codes, tuple[int, ...]]:
    """Read the codes of the artifact ``codes/``.

    Returns:
      The codes int32 [N, L] and the codes of each level.

    Raises:
      GenretError: no such artifact, damaged, or codes out of range.
    """
    manifest = read_manifest(folder, "codes")
    verify_files(folder, manifest)
    file = Path(folder) / CODES_FILE
    try:
        codes = np.load(file, allow_pickle=False)
        sizes = manifest.summary["codes_per_level"]
    except (OSError, ValueError, EOFError, KeyError) as e:
        raise GenretError(f"{file}: missing or damaged ({e})") from e
    return check_codes(codes, sizes, str(file))


def load_end_code(folder: PathLike) -> int | None:
    """Return the code that ends a shorter semantic ID of the artifact ``codes/``; None: none does.

    Raises:
      GenretError: no such artifact, or what it says is no code.
    """
    end_code = read_manifest(folder, "codes").summary.get("end_code")
    if end_code is not None and (type(end_code) is not int or end_code < 0):
        raise GenretError(f"{folder}: found the end code {end_code!r}, expected a code")
    return end_code


def load_tokenizer(folder: PathLike) -> Tokenizer:
    """Read the tokenizer of the artifact ``codes/``.

    Raises:
      GenretError: no such artifact, damaged, or codes that were brought from elsewhere.
    """
    manifest = read_manifest(folder, "codes")
    verify_files(folder, manifest)
    if "tokenizer.json" not in manifest.files:
        raise GenretError(f"{folder}: holds ready codes and no tokenizer; new items need one")
    kind = read_header(folder)["kind"]
    if kind not in TOKENIZERS:
        raise GenretError(
            f"{folder}: found a tokenizer of kind {kind!r}, expected one of {', '.join(TOKENIZERS)}"
        )
    return TOKENIZERS[kind].load(folder)
