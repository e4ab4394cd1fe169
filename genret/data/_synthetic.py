"""Synthetic catalogs: titles, categories, and histories whose next item can be learned."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genret.data._catalog import Catalog
from genret.data._histories import SplitHistories
from genret.data._ingest import ingest
from genret.errors import GenretError
from genret.histories import offsets_of

_NOUNS = [
    "Lamp",
    "Kettle",
    "Chair",
    "Guitar",
    "Tent",
    "Camera",
    "Rug",
    "Clock",
    "Puzzle",
    "Bicycle",
    "Scarf",
    "Teapot",
    "Printer",
    "Shovel",
    "Helmet",
    "Mirror",
    "Candle",
    "Backpack",
    "Blanket",
    "Telescope",
    "Hammock",
    "Violin",
    "Skillet",
    "Compass",
]
_ADJECTIVES = [
    "Amber",
    "Brisk",
    "Calm",
    "Dusty",
    "Early",
    "Fancy",
    "Gentle",
    "Hollow",
    "Ivory",
    "Jolly",
    "Keen",
    "Lunar",
    "Mellow",
    "Noble",
    "Olive",
    "Plain",
    "Quiet",
    "Rustic",
    "Silver",
    "Tidy",
    "Urban",
    "Velvet",
    "Wild",
    "Young",
]
_MAX_LENGTH = 4
"""The longest history, in multiples of the mean."""


def synthetic_tables(
    num_users: Any = 1000, num_items: Any = 500, mean_events: Any = 20, *, seed: int = 0
) -> tuple[pa.Table, pa.Table]:
    """Make interactions and items.

    Items lie on a ring within their category. A user moves on: with probability 0.7 one to three
    places along the ring, with 0.2 to a popular item of the category, with 0.1 to a popular item of
    the next category. Popularity falls as one over the rank. The title names the category.

    Args:
      num_users: number of users.
      num_items: number of items.
      mean_events: mean length of a history, at least 3; none is shorter than 3.
      seed: equal seeds give equal tables.

    Returns:
      The interactions (``user_id``, ``item_id``, ``timestamp`` in seconds), user after user, and
      the items (``item_id``, ``title``, ``category``, ``price``).

    Raises:
      GenretError: a size that is too small, or not finite.

    >>> interactions, items = synthetic_tables(10, 30, 5)
    >>> items.column_names, items.num_rows
    (['item_id', 'title', 'category', 'price'], 30)
    """
    for name, value, least in (
        ("num_users", num_users, 1), ("num_items", num_items, 2), ("mean_events", mean_events, 3),
    ):  # fmt: skip
        if not least <= value < np.inf:
            raise GenretError(f"{name}: found {value}, expected at least {least}")
    rng = np.random.default_rng(seed)
    categories = int(np.clip(num_items // 20, 1, len(_NOUNS)))
    # Item i is place i // categories on the ring of category i % categories.
    ring_sizes = (num_items - 1 - np.arange(categories)) // categories + 1

    longest = max(3, int(_MAX_LENGTH * mean_events))
    lengths = np.minimum(3 + rng.geometric(1 / (mean_events - 2), num_users) - 1, longest)
    offsets = offsets_of(lengths)
    events = np.empty(offsets[-1], np.int64)
    category = rng.integers(categories, size=num_users)
    place = _popular(rng, ring_sizes[category])
    for t in range(lengths.max()):
        alive = np.flatnonzero(lengths > t)
        events[offsets[alive] + t] = place[alive] * categories + category[alive]
        move = rng.random(len(alive))
        category[alive] = (category[alive] + (move >= 0.9)) % categories
        sizes = ring_sizes[category[alive]]
        along = (place[alive] + rng.integers(1, 4, len(alive))) % sizes
        place[alive] = np.where(move < 0.7, along, _popular(rng, sizes))

    gaps = rng.integers(60, 7 * 86400, len(events))
    elapsed = np.cumsum(gaps)
    elapsed -= np.repeat(elapsed[offsets[:-1]], lengths)
    times = np.repeat(1_500_000_000 + rng.integers(0, 3 * 10**7, num_users), lengths) + elapsed
    interactions = pa.table(
        {
            "user_id": np.repeat(np.arange(1, num_users + 1), lengths),
            "item_id": events + 1,
            "timestamp": times,
        }
    )
    return interactions, _items(rng, num_items, categories)


def synthetic(
    num_users: Any = 1000, num_items: Any = 500, mean_events: Any = 20, *, seed: int = 0
) -> tuple[Catalog, SplitHistories]:
    """Make a catalog and histories, split leave-one-out (see :func:`synthetic_tables`).

    >>> catalog, histories = synthetic(50, 40, 6, seed=1)
    >>> catalog.num_items, histories.num_users
    (40, 50)
    """
    interactions, items = synthetic_tables(num_users, num_items, mean_events, seed=seed)
    catalog, histories, _ = ingest(interactions, items)
    return catalog, histories


def _popular(rng: np.random.Generator, sizes: np.ndarray) -> np.ndarray:
    """Draw a rank below each size, with probability about one over rank + 1."""
    ranks: np.ndarray = np.exp(rng.random(len(sizes)) * np.log(sizes + 1)).astype(np.int64) - 1
    return np.minimum(ranks, sizes - 1)


def _items(rng: np.random.Generator, num_items: int, categories: int) -> pa.Table:
    numbers = np.arange(num_items)
    nouns = pa.array(_NOUNS).take(pa.array(numbers % categories))
    place = numbers // categories
    adjectives = pa.array(_ADJECTIVES).take(pa.array(place % len(_ADJECTIVES)))
    model = pa.array(place // len(_ADJECTIVES) + 1).cast(pa.string())
    return pa.table(
        {
            "item_id": numbers + 1,
            "title": pc.binary_join_element_wise(adjectives, nouns, model, " "),
            "category": nouns,
            "price": np.round(rng.lognormal(3, 0.7, num_items), 2),
        }
    )
