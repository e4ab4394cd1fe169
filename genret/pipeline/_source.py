"""Where ingestion reads from: files, MovieLens-100K or a synthetic catalog."""

from typing import Any

from genret.config import SourceConfig, require
from genret.data import movielens, synthetic_tables
from genret.pipeline._progress import SILENT, Progress


def open_source(
    source: SourceConfig, *, seed: int = 0, progress: Progress = SILENT
) -> tuple[Any, Any]:
    """Return the interactions and the items that a configuration names, for :func:`ingest`.

    Args:
      source: which data; exactly one source must be named.
      seed: of a synthetic catalog.
      progress: receives the terms of MovieLens-100K.

    Returns:
      Files or tables of interactions, and of items (None where there are none).

    Raises:
      GenretError: no source is named, or several, or an option that belongs to another one.

    >>> interactions, items = open_source(SourceConfig(synthetic=True, synthetic_items=30))
    >>> len(items)
    30
    """
    named = [bool(source.interactions), source.movielens, source.synthetic]
    require(
        sum(named) == 1,
        f"ingest: {'several inputs' if any(named) else 'no input'} named, expected one of "
        "--interactions PATH, --movielens, --synthetic",
    )
    require(
        bool(source.interactions) or not source.items, "ingest: --items goes with --interactions"
    )
    require(source.movielens or source.data is None, "ingest: --data goes with --movielens")
    usual = SourceConfig()
    for name in ("synthetic_users", "synthetic_items", "synthetic_events"):
        require(
            source.synthetic or getattr(source, name) == getattr(usual, name),
            f"ingest: --{name.replace('_', '-')} goes with --synthetic",
        )
    if source.movielens:
        films = movielens(source.data)
        progress.say(f"MovieLens-100K from {films.source}")
        progress.say(films.terms)
        return films.interactions, films.items
    if source.synthetic:
        return synthetic_tables(
            source.synthetic_users, source.synthetic_items, source.synthetic_events, seed=seed
        )
    return source.interactions, source.items or None
