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
    draw = _zipf if kind == "zipf" else _uniform
    codes = np.empty((num_items, len(codes_per_level)), np.int32)
    for level, count in enumerate(codes_per_level):  # one wide column at a time
        codes[:, level] = draw(rng, num_items, count)
    if kind == "duplicates":
        codes = codes[rng.integers(0, max(1, num_items // 3), num_items)]
    return codes


def tiny_catalog() -> tuple[Codes, list[str]]:
    """Return the semantic IDs and the ids of six items, two of which share a semantic ID.

    >>> codes, item_ids = tiny_catalog()
    >>> codes.shape, item_ids[:2]
    ((6, 3), ['alien', 'blade runner'])
    """
    codes = [[2, 0, 1], [2, 0, 3], [0, 1, 1], [2, 3, 0], [0, 1, 1], [1, 2, 2]]
    ids = ["alien", "blade runner", "casablanca", "dune", "easy rider", "fargo"]
    return np.array(codes, np.int32), ids


def _uniform(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    return rng.integers(0, count, size)


def _zipf(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    weights = 1 / np.arange(1, count + 1)
    return rng.choice(count, size, p=weights / weights.sum())
