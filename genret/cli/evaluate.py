"""``genret evaluate``: metrics of the model beside baselines and a random model."""

import dataclasses
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.cli.tables import show_evaluate
from genret.config import EvaluateConfig, SASRecConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(Verb):
    """Measure the model of a run on held-out items, ranking the whole catalog.

    Also measures a popularity baseline and an untrained model, and with --baselines item-kNN and
    SASRec, for the same users with the same exclusions. Writes metrics.json, pictures, report.html
    and report.md to RUN/reports.

    Example: genret evaluate runs/shop --split test --k 10 20 --beams 50 --baselines
    """

    writes_run: ClassVar[bool] = True
    computes: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run, with its model."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """What is measured."""
    baselines: bool = False
    """Also item-kNN and SASRec, which is trained once and kept in RUN/baselines."""
    sasrec_epochs: int = SASRecConfig.epochs
    """With --baselines: passes of SASRec over the training events, at most."""
    check_beams: bool = False
    """Also score every item and report how much the beam search misses."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Evaluate; return the contents of metrics.json."""
        from genret.pipeline import evaluate

        document = evaluate(
            self.run_folder,
            self.evaluate,
            baselines=self.baselines,
            sasrec=SASRecConfig(epochs=self.sasrec_epochs),
            check_beams=self.check_beams,
            seed=self.seed,
            progress=reporter,
        )
        show_evaluate(reporter, document)
        reporter.say(f"report: {self.run_folder / 'reports' / 'report.html'}")
        return document
