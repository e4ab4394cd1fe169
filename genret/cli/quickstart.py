"""``genret quickstart``: the whole job on real people's histories, from ratings to recommended titles."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from genret.cli import embed, evaluate, index, ingest, tokenize, train
from genret.cli.base import Reporter, RunFolder, Verb
from genret.config import EvaluateConfig, TrainConfig

SHOWN_HISTORY = 10
SMOKE_TRAIN = TrainConfig(steps=20, eval_every=20, eval_users=64, log_every=10)
SHOW: dict[str, Callable[[Reporter, Any], None]] = {
    "ingest": lambda reporter, result: ingest.show(reporter, result[0]),
    "embed": embed.show,
    "tokenize": tokenize.show,
    "index": index.show,
    "train": train.show,
    "evaluate": evaluate.show,
}
"""What prints the result of each stage."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quickstart(Verb):
    """Do the whole job: ingest, embed, tokenize, index, train, evaluate, recommend.

    The data are MovieLens-100K: 943 people, 1,682 films. They are fetched once into a cache; their
    terms, which are printed, forbid passing them on. Or they are yours: --interactions, with
    --items and ready --codes where there are any. The run folder that is left serves every other
    verb.

    Example: genret quickstart
    """

    writes_run: ClassVar[bool] = True
    makes_run: ClassVar[bool] = True
    computes: ClassVar[bool] = True

    run_folder: RunFolder = Path("runs/quickstart")
    """Folder of the run."""
    data: Path | None = None
    """A local copy of MovieLens-100K (archive or folder), instead of fetching it."""
    synthetic: bool = False
    """Invented items and histories instead: needs no data at all."""
    interactions: tuple[Path, ...] = ()
    """Your own interactions instead (see genret ingest)."""
    items: tuple[Path, ...] = ()
    """With --interactions: their items."""
    codes: Path | None = None
    """Ready semantic IDs instead of vectors and residual k-means (see genret tokenize)."""
    steps: int = 600
    """Training steps."""
    smoke: bool = False
    """A token training run and fewer users: shows in less than a minute that all parts work."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Run every stage; return the metrics and the recommendations shown."""
        from genret.pipeline import QUICK_TRAINING, quickstart

        source = ingest.Ingest(
            run_folder=self.run_folder,
            seed=self.seed,
            interactions=self.interactions,
            items=self.items,
            synthetic=self.synthetic,
            movielens=not (self.synthetic or self.interactions),
            data=self.data,
        )
        result = quickstart(
            self.run_folder,
            *source.inputs(reporter),
            codes=self.codes,
            optimization=SMOKE_TRAIN
            if self.smoke
            else dataclasses.replace(QUICK_TRAINING, steps=self.steps),
            evaluation=EvaluateConfig(users=200, beams=20) if self.smoke else EvaluateConfig(),
            invented=self.synthetic,
            seed=self.seed,
            progress=reporter,
            done=lambda stage, found: SHOW[stage](reporter, found),
        )
        for shown in result["recommendations"]:
            _show(reporter, shown)
        reporter.say(f"run folder: {self.run_folder}  (try: genret inspect {self.run_folder})")
        return result


def _show(reporter: Reporter, shown: dict[str, Any]) -> None:
    """Print the history of a user beside what the model recommends."""
    past, ranked = shown["history"], shown["recommendations"]
    recent = past[-SHOWN_HISTORY:]
    rows = [
        (
            recent[i] if i < len(recent) else "",
            str(ranked[i]["rank"]) if i < len(ranked) else "",
            ranked[i]["title"] if i < len(ranked) else "",
            f"{ranked[i]['score']:.2f}" if i < len(ranked) else "",
        )
        for i in range(max(len(recent), len(ranked)))
    ]
    title = (
        f"User {shown['user']}: the last {len(recent)} of {len(past)} items, and what comes next"
    )
    reporter.table(title, ("history, oldest first", "rank", "recommended", "log p"), rows)
