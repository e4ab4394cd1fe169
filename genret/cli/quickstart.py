"""``genret quickstart``: the whole job on real people's histories, from ratings to recommended titles."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.cli.tables import SHOW, show_recommended
from genret.config import ColumnsConfig, SourceConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quickstart(Verb):
    """Do the whole job: ingest, embed, tokenize, index, train, evaluate, recommend.

    The data are MovieLens-100K, which is downloaded once into a cache (its terms, which are printed,
    forbid redistribution), or yours: --interactions, and if you have them --items and --codes.

    Example: genret quickstart
    """

    writes_run: ClassVar[bool] = True
    makes_run: ClassVar[bool] = True
    computes: ClassVar[bool] = True

    run_folder: RunFolder = Path("runs/quickstart")
    """Folder of the run."""
    data: Path | None = None
    """A local copy of MovieLens-100K (archive or folder) instead of a download."""
    synthetic: bool = False
    """Use generated items and histories: needs no data at all."""
    interactions: tuple[Path, ...] = ()
    """Use your own interactions (see genret ingest)."""
    items: tuple[Path, ...] = ()
    """With --interactions: their items."""
    columns: ColumnsConfig = ColumnsConfig()
    """With --interactions: which columns mean what."""
    codes: Path | None = None
    """Ready semantic IDs instead of vectors and residual k-means (see genret tokenize)."""
    steps: int = 600
    """Training steps."""
    smoke: bool = False
    """Train for a few steps and evaluate few users: a test in under a minute that all parts work."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Run every stage; return the metrics and the recommendations shown."""
        from genret.pipeline import open_source, quick_configs, quickstart

        named = {
            name: getattr(self, name) for name in ("interactions", "items", "synthetic", "data")
        }
        source = SourceConfig(movielens=not (self.synthetic or self.interactions), **named)
        result = quickstart(
            self.run_folder, *open_source(source, seed=self.seed, progress=reporter),
            columns=self.columns, codes=self.codes, **quick_configs(self.steps, smoke=self.smoke), invented=self.synthetic,
            seed=self.seed, progress=reporter, done=lambda stage, found: SHOW[stage](reporter, found),
        )  # fmt: skip
        for shown in result["recommendations"]:
            show_recommended(reporter, shown)
        reporter.say(f"run folder: {self.run_folder}  (try: genret inspect {self.run_folder})")
        return result
