"""``genret coldstart``: what a model knows about items that came after it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.config import EvaluateConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coldstart(Verb):
    """Train a run's model again without its newest items, and ask it for them.

    For each share of the items: they and all that their users did after them are taken out of the
    training events, the tokenizer is fitted to the other items and gives codes to these, and each
    history that led to one of them asks for it: among all items, at random among the new ones, and
    by constrained search among the new ones. The newest are those with the latest first event;
    without times, those that appear last in the file. Tokenizer, model and training are those of
    the run; new items have no events, so their vectors come from their text.

    Each share has a run folder of its own in RUN/coldstart; what lies there and is up to date is
    not made again. The figures are in its reports/coldstart.json.

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
    """Histories to ask with (the first ones in a seeded order); 0 takes all."""
    include_seen: bool = False
    """Let the items of the history compete where all items do."""
    steps: int = 0
    """Training steps; 0 takes those of the run's model."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Measure each share; return the figures of all."""
        from genret.pipeline import coldstart

        config = EvaluateConfig(
            k=self.k,
            beams=max(self.beams, *self.k),
            users=self.users,
            exclude_seen=not self.include_seen,
        )
        found = coldstart(
            self.run_folder, self.fractions, config,
            steps=self.steps, seed=self.seed, progress=reporter,
        )  # fmt: skip
        rows = [
            (
                f"{share['fraction']:.1%} ({share['items']:,})", share["users"], way,
                *(_shown(share[way], k) for k in self.k),
            )
            for share in found
            for way in ("unconstrained", "random", "constrained", "ratio")
        ]  # fmt: skip
        columns = ("newest items", "users", "search", *(f"recall@{k}" for k in self.k))
        reporter.table(f"New items, chosen {found[0]['rule']}", columns, rows)
        return {"shares": found}


def _shown(recalls: Mapping[str, Mapping[str, float]], k: int) -> str:
    found = recalls[f"recall@{k}"]
    if found["low"] == found["high"]:
        return f"{found['mean']:.4f}"
    return f"{found['mean']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"
