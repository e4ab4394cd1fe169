"""``genret ingest``: interactions and items into a run folder."""

import dataclasses
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.cli.tables import show_ingest
from genret.config import ColumnsConfig, IngestConfig, SourceConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ingest(Verb):
    """Read interactions and items into a run folder: its catalog and histories.

    The format of a file is known by its extension: Parquet (a file or a folder), CSV, TSV, JSONL,
    RecBole's .inter and .item, and LC-Rec's inter.json and item.json; text files also with .gz or
    .zst. Prints a table that counts everything that a rule dropped or changed.

    Example: genret ingest runs/shop --interactions log.parquet --items items.csv.gz
    """

    writes_run: ClassVar[bool] = True
    makes_run: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run; created if it does not exist."""
    source: SourceConfig = SourceConfig()
    """Where the data come from."""
    columns: ColumnsConfig = ColumnsConfig()
    """Which columns mean what."""
    rules: IngestConfig = IngestConfig()
    """The rules."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Ingest; return the report and the artifact's fingerprint."""
        from genret.pipeline import ingest, open_source

        report, fingerprint = ingest(
            self.run_folder,
            *open_source(self.source, seed=self.seed, progress=reporter),
            columns=self.columns,
            config=self.rules,
            seed=self.seed if self.source.synthetic else None,
            progress=reporter,
        )
        show_ingest(reporter, (report, fingerprint))
        return report.to_dict() | {"fingerprint": fingerprint}
