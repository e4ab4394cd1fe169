"""``genret train``: catalog and codes into a model."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, ClassVar, Literal

from genret.cli.base import Reporter, RunFolder, Verb, named
from genret.cli.model_options import ModelOptions, choose
from genret.cli.tables import show_train
from genret.config import (
    MODEL_PRESETS,
    RECIPES,
    ProcessesConfig,
    TrainConfig,
    TrainEngineConfig,
    require,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Verb):
    """Train a model on the histories of a run.

    Keeps the model with the best validation NDCG@10. If killed, the same command continues.

    Example: genret train runs/shop --preset small --steps 4000
    """

    writes_run: ClassVar[bool] = True
    computes: ClassVar[bool] = True
    run_folder: RunFolder
    """Folder of the run, with catalog/ and codes/."""
    preset: named(MODEL_PRESETS) = None  # type: ignore[valid-type]
    """A named architecture."""
    recipe: named(RECIPES) = None  # type: ignore[valid-type]
    """A fixed architecture and optimization whose results are published in the documentation."""
    model: ModelOptions = ModelOptions()
    """The architecture."""
    train: TrainConfig = TrainConfig()
    """The optimization."""
    warm_start: Path | None = None
    """Start from a trained model (a run, or its model/), shrunk and perturbed."""
    shrink: float = 0.5
    """warm_start: factor on the trained parameters."""
    perturb: float = 0.1
    """warm_start: factor on the fresh parameters that are added."""
    devices: int = 1
    """Local devices that share each batch; 0 takes all. To split the parameters too: --mesh."""
    log_to: Literal["tensorboard", "wandb"] | None = None
    """Send the metrics there, too; the extras of these names install what it takes."""
    engine: TrainEngineConfig = TrainEngineConfig()
    """Where it is computed."""
    processes: ProcessesConfig = ProcessesConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.engine.engine == "local" or self.processes.coordinator is None,
            f"--coordinator: found {self.processes.coordinator} with --engine ray, expected one of "
            "them: Ray's workers find each other",
        )

    def needs_devices(self) -> bool:
        """Say whether this process needs devices; with Ray its workers do, each one its own."""
        return self.engine.engine == "local"

    def holding(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock of the run, which of Ray's workers the first one does."""
        return super().holding() if self.engine.engine == "local" else contextlib.nullcontext()

    def run(self, reporter: Reporter) -> dict[str, Any]:
        """Train; return the summary of the model."""
        from genret.pipeline import train

        chosen, told = choose(self.preset, self.recipe, self.model, self.train, self.given)
        if told:
            reporter.say(told)
        result = train(
            self.run_folder, chosen.train, model=chosen.model, recipe=self.recipe,
            warm_start=self.warm_start, shrink=self.shrink, perturb=self.perturb,
            devices=self.devices, seed=self.seed, log_to=self.log_to, progress=reporter,
            engine=self.engine, join_timeout=self.processes.join_timeout,
        )  # fmt: skip
        show_train(reporter, result)
        return result
