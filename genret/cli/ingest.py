"""``genret ingest``: interactions and items into a run folder."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.config import ColumnsConfig, IngestConfig
from genret.errors import GenretError

if TYPE_CHECKING:
    from genret.data import IngestReport


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ingest(Verb):
    """Read interactions and items into a run folder: its catalog and histories.

    Formats go by the extension: Parquet (a file or a folder), CSV, TSV, JSONL, RecBole's .inter and
    .item, and LC-Rec's inter.json and item.json; text also with .gz or .zst. Every rule that drops
    or changes something is counted in the table that is printed.

    Example: genret ingest runs/shop --interactions log.parquet --items items.csv.gz
    """

    writes_run: ClassVar[bool] = True
    makes_run: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run; made where there is none."""
    interactions: tuple[Path, ...] = ()
    """Files of interactions: user, item and, where known, time."""
    items: tuple[Path, ...] = ()
    """Files of items: id, title and other columns; without them the items are those seen."""
    columns: ColumnsConfig = dataclasses.field(default_factory=ColumnsConfig)
    """Which columns mean what."""
    rules: IngestConfig = dataclasses.field(default_factory=IngestConfig)
    """The rules."""
    movielens: bool = False
    """Take MovieLens-100K, fetched once into a cache."""
    data: Path | None = None
    """With --movielens: a local copy of it (archive or folder)."""
    synthetic: bool = False
    """Make a synthetic catalog from --seed."""
    synthetic_users: int = 1000
    """With --synthetic: number of users."""
    synthetic_items: int = 500
    """With --synthetic: number of items."""
    synthetic_events: float = 20.0
    """With --synthetic: mean number of events of a user."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Ingest; return the report and the artifact's fingerprint."""
        from genret.pipeline import ingest

        report, fingerprint = ingest(
            self.run_folder,
            *self.inputs(reporter),
            columns=self.columns,
            config=self.rules,
            seed=self.seed if self.synthetic else None,
            progress=reporter,
        )
        show(reporter, report)
        return report.to_dict() | {"fingerprint": fingerprint}

    def inputs(self, reporter: Reporter) -> tuple[Any, Any]:
        """Return the interactions and the items, from the one source that was named."""
        from genret.data import movielens, synthetic_tables

        named = [bool(self.interactions), self.movielens, self.synthetic]
        if sum(named) != 1:
            raise GenretError(
                f"ingest: {'no input' if not any(named) else 'several inputs'} named, expected one "
                "of --interactions PATH, --movielens, --synthetic"
            )
        if self.items and not self.interactions:
            raise GenretError("ingest: --items goes with --interactions")
        if self.data is not None and not self.movielens:
            raise GenretError("ingest: --data goes with --movielens")
        for name in ("synthetic_users", "synthetic_items", "synthetic_events"):
            if not self.synthetic and getattr(self, name) != getattr(Ingest, name):
                raise GenretError(f"ingest: --{name.replace('_', '-')} goes with --synthetic")
        if self.movielens:
            films = movielens(self.data)
            reporter.say(f"MovieLens-100K from {films.source}")
            reporter.say(films.terms)
            return films.interactions, films.items
        if self.synthetic:
            return synthetic_tables(
                self.synthetic_users, self.synthetic_items, self.synthetic_events, seed=self.seed
            )
        return self.interactions, self.items or None


def show(reporter: Reporter, report: "IngestReport") -> None:
    """Print what was taken for granted, and what every rule dropped or changed."""
    for line in report.said():
        reporter.say(line)
    reporter.table("Ingested", ("rule", "count", "what was done"), report.rows())
