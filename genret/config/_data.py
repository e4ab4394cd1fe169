"""Configurations of ingestion."""

import dataclasses
from typing import Literal

from genret.config._base import Config, require, require_counts, require_finite


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColumnsConfig(Config):
    """Which columns of the input files mean what; None finds the usual names."""

    user: str | None = None
    """Column of the user id in the interactions."""
    item: str | None = None
    """Column of the item id, in the interactions and in the items."""
    time: str | None = None
    """Column of the time in the interactions."""
    title: str | None = None
    """Column of the title in the items."""
    history: str | None = None
    """Column of the interactions that holds the items before the row's own, as a list or as text
    such as "[1, 2, 3]"; the rows of a user are put together. '' says that a row is one event."""
    text: tuple[str, ...] = ()
    """Columns of the items that are embedded as text; none takes the title and every column that
    is text and neither numbers, nor dates, nor conditions such as yes and no."""
    format: Literal["auto", "s3rec", "sasrec"] = "auto"
    """What the lines of a .txt file are: s3rec, a user and all items; sasrec, a user and one item;
    auto tells them apart."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class IngestConfig(Config):
    """Rules of ingestion."""

    min_user_events: int = 1
    """Iterative k-core: users with fewer events are dropped, again and again."""
    min_item_events: int = 1
    """Iterative k-core: items with fewer events lose their events (they stay in the catalog)."""
    duplicates: Literal["drop", "keep"] = "drop"
    """Rows equal in user, item and time: keep the first, or keep all."""
    unknown_items: Literal["drop", "error"] = "drop"
    """Events whose item is not in the items file: drop and count them, or refuse the input."""
    bad_times: Literal["refuse", "drop"] = "refuse"
    """Events whose time cannot be read or used: refuse the input, with their number and examples,
    or drop and count them."""
    split: Literal["leave-one-out", "by-time"] = "leave-one-out"
    """Last item of each user for the test, or everything after a moment."""
    valid_fraction: float = 0.1
    """by-time: share of the events, just before the test's, that are for validation."""
    test_fraction: float = 0.1
    """by-time: share of the events, the newest, that are for the test."""

    memory_gib: float = 0.0
    """Memory for the rows of the interactions; beyond it they wait on disk and DuckDB sorts them
    there, with the same result. 0: two fifths of what is free, at most 4."""
    document_mib: int = 512
    """Most text of an inter.json or item.json, after decompression: such a file is parsed as a
    whole, which takes several times its size of memory."""

    def __post_init__(self) -> None:
        require(
            1 <= self.document_mib < 1 << 20,
            f"document_mib: found {self.document_mib}, expected 1 to {(1 << 20) - 1}",
        )
        require_finite(self, "memory_gib")
        require_counts(self, "min_user_events", "min_item_events")
        for name in ("valid_fraction", "test_fraction"):
            value = getattr(self, name)
            require(
                0 < value < 0.5, f"{name}: found {value}, expected more than 0 and less than 0.5"
            )
