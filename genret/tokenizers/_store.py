"""The artefact ``codes/``: semantic IDs of the catalogue and the tokenizer that made them.

codes.npy                                  int32 [N, L]
tokenizer.json, tokenizer.safetensors      only where the codes were made here
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genret.artifacts import read_manifest, verify_files, write_folder
from genret.errors import GenretError
from genret.tokenizers._base import SemanticTokenizer, check_codes
from genret.tokenizers._rq_kmeans import RQKMeans
from genret.typing import Codes, PathLike

CODES_FILE = "codes.npy"


def save_codes(
    folder: PathLike,
    codes: ArrayLike,
    codes_per_level: Sequence[int],
    *,
    tokenizer: SemanticTokenizer | None = None,
    report: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    seed: int | None = None,
    inputs: Mapping[str, str] | None = None,
) -> None:
    """Write the artefact ``codes/``.

    Args:
      folder: where.
      codes: integers [N, L].
      codes_per_level: codes of each level, [L].
      tokenizer: what made them, to give codes to new items later.
      report: figures for the manifest.
      config: the configuration, for the manifest.
      seed: the seed, for the manifest.
      inputs: kind -> fingerprint of the artefacts that the codes come from.

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
    with write_folder(
        folder, "codes", config=config, seed=seed, inputs=inputs, summary=summary
    ) as scratch:
        np.save(scratch / CODES_FILE, found, allow_pickle=False)
        if tokenizer is not None:
            tokenizer.save(scratch)


def load_codes(folder: PathLike) -> tuple[Codes, tuple[int, ...]]:
    """Read the codes of the artefact ``codes/``.

    Returns:
      The codes int32 [N, L] and the codes of each level.

    Raises:
      GenretError: no such artefact, damaged, or codes out of range.
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


def load_tokenizer(folder: PathLike) -> SemanticTokenizer:
    """Read the tokenizer of the artefact ``codes/``.

    Raises:
      GenretError: no such artefact, damaged, or codes that were brought from elsewhere.
    """
    manifest = read_manifest(folder, "codes")
    verify_files(folder, manifest)
    if "tokenizer.json" not in manifest.files:
        raise GenretError(f"{folder}: holds ready codes and no tokenizer; new items need one")
    return RQKMeans.load(folder)
