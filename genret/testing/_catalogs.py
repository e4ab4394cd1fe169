"""Semantic IDs of small made-up catalogs."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from genret.typing import Codes

Kind = Literal["uniform", "zipf", "duplicates"]


def random_codes(
    num_items: int, codes_per_level: Sequence[int], kind: Kind = "uniform", *, seed: int = 0
) -> Codes:
    """Draw the semantic IDs of a catalog.

    Args:
      num_items: N, items.
      codes_per_level: codes of each level.
      kind: "uniform"; "zipf": code ``c`` of a level with a probability that falls as 1 / (c + 1),
        as skewed as real semantic IDs; "duplicates": like uniform, with about three items to an ID.
      seed: seed of the draw.

    Returns:
      int32 [N, L].

    >>> random_codes(2, (4, 4), seed=1).tolist()
    [[1, 3], [2, 3]]
    """
    rng = np.random.default_rng(seed)
    if kind == "zipf":
        columns = [_zipf(rng, num_items, count) for count in codes_per_level]
        return np.stack(columns, axis=1).astype(np.int32)
    codes = np.stack([rng.integers(0, c, num_items) for c in codes_per_level], axis=1)
    if kind == "duplicates":
        codes = codes[rng.integers(0, max(1, num_items // 3), num_items)]
    return codes.astype(np.int32)


def tiny_catalog() -> tuple[Codes, list[str]]:
    """Return the semantic IDs and the ids of six items, two of which share a semantic ID.

    >>> codes, item_ids = tiny_catalog()
    >>> codes.shape, item_ids[:2]
    ((6, 3), ['alien', 'blade runner'])
    """
    codes = [[2, 0, 1], [2, 0, 3], [0, 1, 1], [2, 3, 0], [0, 1, 1], [1, 2, 2]]
    ids = ["alien", "blade runner", "casablanca", "dune", "easy rider", "fargo"]
    return np.array(codes, np.int32), ids


def _zipf(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    weights = 1 / np.arange(1, count + 1)
    return rng.choice(count, size, p=weights / weights.sum())
