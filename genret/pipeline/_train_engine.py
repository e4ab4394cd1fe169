"""Stage 5, wherever it runs: in this process, or in workers of a Ray cluster."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from genret.artifacts import Run
from genret.config import NO_MESH, ModelConfig, TrainConfig, TrainEngineConfig, require
from genret.pipeline._progress import SILENT, Progress
from genret.pipeline._trackers import TrackerName
from genret.pipeline._train import train as train_here
from genret.typing import PathLike


def train(
    run: PathLike,
    config: TrainConfig | None = None,
    *,
    model: ModelConfig | None = None,
    recipe: str | None = None,
    warm_start: PathLike | None = None,
    shrink: float = 0.5,
    perturb: float = 0.1,
    devices: int = 1,
    seed: int = 0,
    on_metrics: Callable[[dict[str, Any]], object] | None = None,
    log_to: TrackerName | None = None,
    progress: Progress = SILENT,
    engine: TrainEngineConfig | None = None,
    join_timeout: int = 300,
) -> dict[str, Any]:
    """Train a model on the histories of a run.

    Checkpoints go to ``checkpoints/``. A training that was killed goes on from the newest one when it
    is asked for again, and ends with the same parameters. The best model by validation NDCG@10 is
    written to ``model/``.

    Processes that have joined (:func:`genret.training.joined`) train one model; all of them see the
    run folder, and the first one writes it. With ``engine.engine`` "ray" such processes are workers of
    a Ray cluster: Ray Train places them, and starts them again where one is lost.

    Args:
      run: the run folder, with ``catalog/`` and ``codes/``.
      config: the optimization.
      model: the architecture; what the run knows (codes, items, vectors) is filled in.
      recipe: name of the recipe that the configurations come from, for the manifest.
      warm_start: begin with a trained model (a run, or its ``model/``) instead of a fresh one.
      shrink: what is kept of its parameters.
      perturb: what is added of fresh ones.
      devices: local devices that share each batch, where ``config`` has no mesh; 0 takes all.
      seed: of parameters, batches and dropout.
      on_metrics: called with each record as it comes, such as ``{"step": 20, "loss": 3.1, …}`` and
        ``{"step": 500, "valid": {"ndcg@10": 0.04, …}}``: the lines of ``metrics.jsonl``.
      log_to: "tensorboard" or "wandb", which get these records, too.
      progress: receives what the stage reports while it runs.
      engine: where it runs; None: in this process.
      join_timeout: seconds that workers of a cluster are waited for.

    Returns:
      ``parameters``, ``steps``, ``best_step``, ``valid_ndcg@10``, ``loss``, ``users_per_second``,
      ``tokens_per_second`` and ``fingerprint``; of a model with a dense head its ``dense_share``; and
      with ``config.transitions`` their ``transitions_share``, 0 where they do not help.

    Raises:
      GenretError: an artifact that is missing or stale, no training events, or an architecture
        that does not fit the run; with Ray also a cluster that cannot be reached or has no room, and
        workers that were lost too often.
    """
    engine, config = engine or TrainEngineConfig(), config or TrainConfig()
    options: dict[str, Any] = {
        "config": config, "model": model, "recipe": recipe, "shrink": shrink, "perturb": perturb,
        "devices": devices, "seed": seed, "log_to": log_to,
    }  # fmt: skip
    if engine.engine == "local":
        return train_here(
            run, warm_start=warm_start, on_metrics=on_metrics, progress=progress, **options
        )
    require(
        config.mesh != NO_MESH or engine.workers == 1,
        f"--mesh: found none with {engine.workers} workers, expected a mesh of the devices of all",
    )
    from genret.pipeline._ray import train_on_ray

    # Workers start in other folders.
    folder = Run.open(run).path.resolve()
    options["warm_start"] = None if warm_start is None else Path(warm_start).resolve()
    return train_on_ray(
        folder, options, engine, join_timeout, progress=progress, on_metrics=on_metrics
    )
