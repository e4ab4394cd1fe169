"""The artifact ``codes/``: semantic IDs of the catalog and the tokenizer that made them.

codes.npy, semantic_ids.json               see genret.semantic_ids
tokenizer.json, tokenizer.safetensors      only where they were made here of vectors
text.model                                 only where they are titles: the pieces
"""

from collections.abc import Mapping
from typing import Any

from genret.artifacts import read_manifest, verify_files, write_folder
from genret.errors import GenretError
from genret.semantic_ids import SemanticIds
from genret.tokenizers._base import Tokenizer
from genret.tokenizers._fsq import FSQ
from genret.tokenizers._hierarchical import HierarchicalKMeans
from genret.tokenizers._pq import OPQ, PQ
from genret.tokenizers._rq_kmeans import RQKMeans
from genret.tokenizers._rq_vae import RQVAE
from genret.tokenizers._vector import VectorTokenizer, read_header
from genret.typing import PathLike

TEXT_MODEL_FILE = "text.model"
TOKENIZERS: dict[str, type[VectorTokenizer]] = {
    cls.kind: cls for cls in (RQKMeans, RQVAE, FSQ, PQ, OPQ, HierarchicalKMeans)
}
"""Tokenizers of vectors by the name of their method."""


def save_codes(
    folder: PathLike,
    semantic_ids: SemanticIds,
    *,
    tokenizer: Tokenizer | None = None,
    text_model: bytes | None = None,
    report: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    seed: int | None = None,
    inputs: Mapping[str, str] | None = None,
) -> None:
    """Write the artifact ``codes/``.

    Args:
      folder: where.
      semantic_ids: those of the catalog's items, in its order.
      tokenizer: what made them, to give codes to new items later.
      text_model: the sentencepiece model of titles.
      report: figures for the manifest.
      config: the configuration, for the manifest.
      seed: the seed, for the manifest.
      inputs: kind -> fingerprint of the artifacts that the codes come from.

    Raises:
      GenretError: the folder cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as run:
    ...     save_codes(f"{run}/codes", SemanticIds.from_codes([[0, 1], [2, 0]]))
    ...     found = load_codes(f"{run}/codes")
    >>> found.codes.tolist(), found.codes_per_level
    ([[0, 1], [2, 0]], (3, 2))
    """
    summary = {
        "items": len(semantic_ids),
        "codes_per_level": list(semantic_ids.codes_per_level),
        "end_code": semantic_ids.end_code,
        "report": dict(report or {}),
    }
    with write_folder(
        folder, "codes", config=config, seed=seed, inputs=inputs, summary=summary
    ) as scratch:
        semantic_ids.save(scratch)
        if tokenizer is not None:
            tokenizer.save(scratch)
        if text_model is not None:
            (scratch / TEXT_MODEL_FILE).write_bytes(text_model)


def load_codes(folder: PathLike) -> SemanticIds:
    """Read the semantic IDs of the artifact ``codes/``.

    Raises:
      GenretError: no such artifact, damaged, or codes out of range.
    """
    verify_files(folder, read_manifest(folder, "codes"))
    return SemanticIds.load(folder)


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
