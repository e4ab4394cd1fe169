"""Configuration of where interactions and items come from."""

import dataclasses
from pathlib import Path

from genret.config._base import Config, require_counts, require_finite


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceConfig(Config):
    """Files, MovieLens-100K or a synthetic catalog: exactly one of them."""

    interactions: tuple[Path, ...] = ()
    """Files of interactions: user, item and, where known, time."""
    items: tuple[Path, ...] = ()
    """Files of items: id, title and other columns; without them the items are those seen."""
    movielens: bool = False
    """Take MovieLens-100K, downloaded once into a cache."""
    data: Path | None = None
    """With --movielens: a local copy of it (archive or folder)."""
    synthetic: bool = False
    """Generate a synthetic catalog from --seed."""
    synthetic_users: int = 1000
    """With --synthetic: number of users."""
    synthetic_items: int = 500
    """With --synthetic: number of items."""
    synthetic_events: float = 20.0
    """With --synthetic: mean number of events per user."""

    def __post_init__(self) -> None:
        require_counts(self, "synthetic_users", "synthetic_items")
        require_finite(self, "synthetic_events", positive=True)
