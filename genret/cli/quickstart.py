"""``genret quickstart``: the whole job on real people's histories, from ratings to recommended titles."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb
from genret.cli.embed import Embed
from genret.cli.evaluate import Evaluate
from genret.cli.index import Index
from genret.cli.ingest import Ingest
from genret.cli.tokenize import Tokenize
from genret.cli.train import Train
from genret.config import EvaluateConfig, IngestConfig, ModelConfig, TokenizeConfig, TrainConfig

SHOWN_USERS = 3
SHOWN_HISTORY = 10

MODEL = ModelConfig(
    width=64, code_width=64, heads=2, kv_heads=2, mlp_dim=192, max_items=50, dropout=0.2
)
TRAIN = TrainConfig(
    steps=600, learning_rate=3e-3, eval_every=150, eval_users=300, checkpoint_every=150, patience=0
)
SMOKE_TRAIN = TrainConfig(steps=20, eval_every=20, eval_users=64, log_every=10)


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
    steps: int = TRAIN.steps
    """Training steps."""
    smoke: bool = False
    """A token training run and fewer users: shows in less than a minute that all parts work."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Run every verb in turn; return the metrics and the recommendations shown."""
        common: dict[str, Any] = {
            "run_folder": self.run_folder,
            "seed": self.seed,
            "log_level": self.log_level,
        }
        Ingest(
            **common,
            interactions=self.interactions,
            items=self.items,
            synthetic=self.synthetic,
            movielens=not (self.synthetic or self.interactions),
            data=self.data,
            rules=IngestConfig(),
        ).run(reporter)
        if self.codes is None:
            Embed(**common).run(reporter)
            Tokenize(**common, tokenize=TokenizeConfig(levels=2)).run(reporter)
        else:
            Tokenize(**common, codes=self.codes).run(reporter)
        Index(**common).run(reporter)
        training = SMOKE_TRAIN if self.smoke else dataclasses.replace(TRAIN, steps=self.steps)
        Train(**common, model=MODEL, train=training).run(reporter)
        evaluation = EvaluateConfig(users=200, beams=20) if self.smoke else EvaluateConfig()
        metrics = Evaluate(**common, evaluate=evaluation).run(reporter)
        with reporter.stage("recommend"):
            shown = self._show(reporter)
        reporter.say(f"run folder: {self.run_folder}  (try: genret inspect {self.run_folder})")
        return {"metrics": metrics, "recommendations": shown}

    def _show(self, reporter: Reporter) -> list[dict[str, Any]]:
        """Print the histories of a few users beside what the model recommends to them."""
        import numpy as np

        from genret.data import load_run_data
        from genret.recommend import Recommender

        shop = Recommender.load(self.run_folder)
        catalog, histories = load_run_data(self.run_folder)
        chosen = np.random.default_rng(self.seed).choice(
            histories.num_users, min(SHOWN_USERS, histories.num_users), replace=False
        )
        users = [str(histories.user_ids[int(row)].as_py()) for row in chosen]
        seen = histories.whole(chosen)
        found = shop.recommend_many(seen, k=10)
        shown = []
        for i, user in enumerate(users):
            past = [catalog.titles[row] for row in seen[i]]
            ranked = [one.to_dict() for one in found[i]]
            recent = past[-SHOWN_HISTORY:]
            rows = [
                (
                    recent[j] if j < len(recent) else "",
                    str(ranked[j]["rank"]) if j < len(ranked) else "",
                    ranked[j]["title"] if j < len(ranked) else "",
                    f"{ranked[j]['score']:.2f}" if j < len(ranked) else "",
                )
                for j in range(max(len(recent), len(ranked)))
            ]
            title = f"User {user}: the last {len(recent)} of {len(past)} items, and what comes next"
            reporter.table(title, ("history, oldest first", "rank", "recommended", "log p"), rows)
            shown.append({"user": user, "history": past, "recommendations": ranked})
        return shown
