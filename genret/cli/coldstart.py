"""``genret coldstart``: what a model knows about items that came after it."""

import dataclasses
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.cli.tables import show_coldstart
from genret.config import EvaluateConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coldstart(Verb):
    """Train a run's model again without its newest items, and measure whether it finds them.

    For each share of the items, the newest are held out: they and everything their users did after
    them leave the training events, the tokenizer is fitted to the other items and then gives codes
    to the new ones. Each history that led to a new item then asks for it in three ways: by search
    among all items, by constrained search among the new items, and at random among the new items.
    The newest items are those whose first event is latest; without times, those that appear last in
    the file. New items have no events, so their vectors come from text alone.

    Each share has a run folder of its own in RUN/coldstart; what is up to date there is not made
    again. The figures are in its reports/coldstart.json.

    Example: genret coldstart runs/shop --fractions 0.02 0.05
    """

    writes_run: ClassVar[bool] = True
    computes: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run, with its model."""
    fractions: tuple[float, ...] = (0.02, 0.05)
    """Shares of the items, the newest, to leave out."""
    k: tuple[int, ...] = (1, 10)
    """Cut-offs of the recall."""
    beams: int = 50
    """Beams of the search."""
    users: int = 0
    """Number of histories to ask with, chosen by the seed; 0 takes all."""
    include_seen: bool = False
    """Among all items, allow items of the history as answers."""
    steps: int = 0
    """Training steps; 0 takes those of the run's model."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Measure each share; return the figures of all."""
        from genret.pipeline import coldstart

        config = EvaluateConfig(
            k=self.k, beams=max(self.beams, *self.k), users=self.users,
            exclude_seen=not self.include_seen,
        )  # fmt: skip
        found = coldstart(
            self.run_folder, self.fractions, config,
            steps=self.steps, seed=self.seed, progress=reporter,
        )  # fmt: skip
        show_coldstart(reporter, found, self.k)
        return {"shares": found}
