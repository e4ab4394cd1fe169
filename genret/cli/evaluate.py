"""``genret evaluate``: metrics of the model beside baselines and a random model."""

import dataclasses
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.config import EvaluateConfig, SASRecConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(Verb):
    """Measure the model of a run on held-out items, ranking the whole catalog.

    A popularity baseline and a model that was never trained stand beside it, and with --baselines
    also item-kNN and SASRec: same users, same exclusions, all items. Writes reports/: metrics.json,
    pictures, report.html and report.md.

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
    """Also score every item, and say what the beams miss."""

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
        show(reporter, document)
        reporter.say(f"report: {self.run_folder / 'reports' / 'report.html'}")
        return document


def show(reporter: Reporter, document: dict[str, Any]) -> None:
    """Print the metrics, and what the beams miss where that was measured."""
    from genret.evaluation.report import headline_table, metrics_table, verdict

    protocol = document["protocol"]
    title = f"{protocol['split']} split, {document['model']['users']:,} users"
    if "sasrec" in document or "exact" in document:
        reporter.table(f"{title} (all metrics: report.md)", *headline_table(document))
    else:
        reporter.table(title, *metrics_table(document))
    for name, found in document.get("beams", {}).items():
        reporter.say(
            f"{name}: {protocol['beams']} beams {found['beams']:.4f}, all items scored "
            f"{found['exact']:.4f}: {found['relative_difference']:+.2%}"
        )
    reporter.say(verdict(document))
