"""``genret train``: catalog and codes into a model."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from genret.cli.base import Reporter, RunFolder, Verb, named
from genret.cli.model_options import ModelOptions, choose
from genret.config import MODEL_PRESETS, RECIPES, TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Verb):
    """Train a model on the histories of a run.

    Checkpoints go to RUN/checkpoints; a run that was killed continues from the newest one when the
    same command is given again, and ends with the same parameters. The best model by validation
    NDCG@10 is written to RUN/model. Options beside --recipe or --preset change what these say.

    Example: genret train runs/shop --preset small --steps 4000
    Example: genret train runs/office --recipe office
    """

    writes_run: ClassVar[bool] = True
    computes: ClassVar[bool] = True

    run_folder: RunFolder
    """Folder of the run, with catalog/ and codes/."""
    preset: named(MODEL_PRESETS) = None  # type: ignore[valid-type]
    """A named architecture."""
    recipe: named(RECIPES) = None  # type: ignore[valid-type]
    """A frozen architecture and optimization whose figures are known."""
    model: ModelOptions = ModelOptions()
    """The architecture."""
    train: TrainConfig = TrainConfig()
    """The optimization."""
    warm_start: Path | None = None
    """Begin with a trained model (a run, or its model/), shrunk and perturbed, instead of a fresh one."""
    shrink: float = 0.5
    """warm_start: what is kept of the trained parameters."""
    perturb: float = 0.1
    """warm_start: what is added of fresh ones."""
    devices: int = 1
    """Local devices that share each batch; 0 takes all."""

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Train; return the summary of the model."""
        from genret.pipeline import train

        chosen, told = choose(self.preset, self.recipe, self.model, self.train, self.given)
        if told:
            reporter.say(told)
        result = train(
            self.run_folder,
            chosen.train,
            model=chosen.model,
            recipe=self.recipe,
            warm_start=self.warm_start,
            shrink=self.shrink,
            perturb=self.perturb,
            devices=self.devices,
            seed=self.seed,
            progress=reporter,
        )
        show(reporter, result)
        return result


def show(reporter: Reporter, result: dict[str, Any]) -> None:
    """Print which step was the best, and how quick training was."""
    reporter.say(
        f"best at step {result['best_step']:,} of {result['steps']:,}; "
        f"{result['users_per_second']:,.0f} users/s, {result['tokens_per_second']:,.0f} codes/s"
    )
