"""Figures that say how good codes are, and items that should resemble each other."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genret.checks import check_vectors
from genret.semantic_ids import SemanticIds
from genret.tokenizers._base import Tokenizer
from genret.tokenizers.collisions import Collisions
from genret.typing import Codes, Float, Int, Vectors

_BATCH = 65536


def code_report(
    semantic_ids: SemanticIds,
    vectors: ArrayLike | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    levels: int | None = None,
    raw: SemanticIds | None = None,
) -> dict[str, Any]:
    """Measure how semantic IDs use their codes.

    Args:
      semantic_ids: with the suffix where there is one.
      vectors: what was encoded, [N, D]; with ``tokenizer`` gives the reconstruction errors.
      tokenizer: what encoded them.
      levels: levels before the suffix; None takes the tokenizer's, or all.
      raw: the semantic IDs before collisions were resolved; None takes the first ``levels`` codes.

    Returns:
      JSON values: ``items``; ``levels_before_suffix``; ``levels``, for each level ``codes``, ``used`` (codes that an item
      has), ``used_share``, ``entropy`` of the code's distribution in bits, ``perplexity`` (2 to that
      power; all codes equally common: their number), ``prefixes`` (different beginnings up to this
      level) and ``error`` (‖x − x̂‖² after this level as a share of the
      variance, None without tokenizer and for a suffix); ``collisions_before`` and
      ``collisions_after`` the suffix (``items``, ``groups``, ``largest``).

    Raises:
      GenretError: bad vectors.

    >>> codes = [[0, 0], [0, 1], [1, 0], [1, 0]]
    >>> report = code_report(SemanticIds.from_codes(codes, codes_per_level=[2, 4]))
    >>> report["levels"][1]["used_share"], round(report["levels"][0]["perplexity"], 2)
    (0.5, 2.0)
    >>> report["collisions_after"]
    {'items': 2, 'groups': 1, 'largest': 2}
    """
    found, sizes = semantic_ids.codes, semantic_ids.codes_per_level
    depth = levels or len(sizes if tokenizer is None else tokenizer.codes_per_level)
    errors: list[float | None] = [None] * len(sizes)
    if tokenizer is not None and vectors is not None:
        errors[:depth] = _errors(check_vectors(vectors, mapped=True), found[:, :depth], tokenizer)
    figures = []
    for level, size in enumerate(sizes):
        _, counts = np.unique(found[:, level], return_counts=True)  # codes may be sparse
        share = counts / len(found)
        figures.append(
            {
                "codes": size,
                "used": len(share),
                "used_share": len(share) / size,
                "entropy": float(max(0.0, -np.sum(share * np.log2(share)))),
                "perplexity": float(np.exp(-np.sum(share * np.log(share)))),
                "prefixes": len(np.unique(found[:, : level + 1], axis=0)),
                "error": errors[level],
            }
        )
    before = found[:, :depth] if raw is None else raw.codes
    return {
        "items": len(found),
        "levels_before_suffix": depth,
        "levels": figures,
        "collisions_before": vars(Collisions.count(before)),
        "collisions_after": vars(Collisions.count(found)),
    }


def nearest_by_prefix(
    codes: Codes, item: int, count: int, vectors: Vectors | None = None
) -> tuple[Int[np.ndarray, "K"], Int[np.ndarray, "K"]]:
    """Return the items that share the longest prefix of codes with one item.

    Args:
      codes: integers [N, L].
      item: row of the item.
      count: how many to return at most; items that share not even the first code are left out.
      vectors: [N, D]; among equally long prefixes the nearest vector comes first. Without them the
        lower row does.

    Returns:
      Item rows, nearest first, and the number of codes that each shares.

    >>> nearest_by_prefix(np.array([[1, 0], [1, 2], [0, 0], [1, 0]]), 0, 5)
    (array([3, 1]), array([2, 1]))
    """
    shared = np.cumprod(codes == codes[item][None, :], axis=1).sum(axis=1)
    shared[item] = 0
    rows = np.flatnonzero(shared)
    distance: Float[np.ndarray, "K"] = np.zeros(len(rows), np.float32)
    if vectors is not None:
        distance = ((vectors[rows] - vectors[item][None, :]) ** 2).sum(axis=1)
    order = np.lexsort((rows, distance, -shared[rows]))[:count]
    return rows[order], shared[rows[order]]


def _errors(vectors: Vectors, codes: Codes, tokenizer: Tokenizer) -> list[float | None]:
    """Return the squared error after each level as a share of the variance (0 of 0 is 0)."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    variance = 0.0
    errors = np.zeros(codes.shape[1])
    for first in range(0, len(vectors), _BATCH):
        batch = vectors[first : first + _BATCH].astype(np.float64)
        variance += float(((batch - mean[None, :]) ** 2).sum())
        for level in range(codes.shape[1]):
            decoded = tokenizer.decode(codes[first : first + _BATCH, : level + 1])
            errors[level] += float(((batch - decoded) ** 2).sum())
    return [float(error / variance) if variance else 0.0 for error in errors]
