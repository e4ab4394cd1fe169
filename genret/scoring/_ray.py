"""Scoring on a Ray cluster: shards go through Ray Data to scorers that load the model once.

The only file that imports Ray. Retries, back-pressure and placement are Ray's; what makes a retry
harmless is that a shard is published whole and says so in its record, as on one machine. The run,
the histories and the output must be where every node can reach them.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

from genret.config import EngineConfig, ScoreConfig
from genret.errors import GenretError
from genret.scoring._engine import Done, score_shards
from genret.scoring._job import Job, Shard
from genret.scoring._scorer import Scorer
from genret.typing import PathLike

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
try:
    import ray
    import ray.data

    from genret.scoring._shared_programs import shared_programs
except ImportError as e:
    raise GenretError("engine: found 'ray', expected it installed: pip install genret[ray]") from e


class _ShardScorer:
    """The actor: loads the model once and scores the shards that Ray gives it."""

    def __init__(self, run: str, job: Job, engine: EngineConfig) -> None:
        self._job = job
        config = ScoreConfig.from_dict(job.document["config"])
        programs = shared_programs()
        compiling = None if programs is None else programs.compiling
        self._scorer = Scorer.load(run, config, engine, compiling)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Score shards by number; return what became of them as JSON."""
        found = []
        for number in batch["shard"].tolist():
            shard = self._job.shards[number]
            # A task that Ray repeats because its answer was lost finds the work done.
            record = self._job.record_of(shard)
            done = Done(shard, record, None)
            if record is None:
                (done,) = score_shards(self._scorer, self._job, [shard])
            found.append(json.dumps([done.record, done.error]))
        return {"shard": batch["shard"], "done": found}


def score_on_ray(
    run: PathLike,
    job: Job,
    todo: list[Shard],
    engine: EngineConfig,
    advance: Callable[[int], object],
) -> Iterator[Done]:
    """Score shards on a cluster.

    Args:
      run: the run folder, as every node sees it.
      job: the job; this process holds its lock.
      todo: the shards to do.
      engine: the cluster, and what a scorer reserves.
      advance: called with the number of users of each finished shard.

    Yields:
      What became of each shard, in the order in which they finish.

    Raises:
      GenretError: there is no such cluster, or scorers failed for good.
    """
    if not todo:
        return
    if not ray.is_initialized():
        try:
            ray.init(engine.ray_address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as e:
            raise GenretError(f"ray_address: cannot connect: {_line(e)}") from e
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    resources = {"TPU": engine.tpus_per_worker} if engine.tpus_per_worker else None
    numbers = ray.data.from_items(
        [{"shard": shard.number} for shard in todo], override_num_blocks=len(todo)
    )
    results = numbers.map_batches(
        _ShardScorer,
        fn_constructor_args=(os.fspath(run), job, engine),
        batch_size=1,
        num_cpus=engine.cpus_per_worker,
        num_gpus=engine.gpus_per_worker or None,
        resources=resources,
        compute=ray.data.ActorPoolStrategy(size=min(engine.workers or _nodes(engine), len(todo))),
    )
    try:
        for row in results.iter_rows():
            record, error = json.loads(row["done"])
            if record is not None:
                advance(record["users"])
            yield Done(job.shards[row["shard"]], record, error)
    except ray.exceptions.RayError as e:
        cause = getattr(e, "cause", None)
        raise GenretError(f"ray: {_line(cause or e)}") from e


def platform_of(engine: EngineConfig) -> str:
    """Return the kind of device that the scorers have."""
    if engine.tpus_per_worker:
        return "tpu"
    return "gpu" if engine.gpus_per_worker else "cpu"


def _nodes(engine: EngineConfig) -> int:
    """Return how many nodes can hold a scorer."""
    needed = {
        "CPU": engine.cpus_per_worker,
        "GPU": engine.gpus_per_worker,
        "TPU": engine.tpus_per_worker,
    }
    fitting = [
        node
        for node in ray.nodes()
        if node["Alive"] and all(node["Resources"].get(k, 0) >= v for k, v in needed.items())
    ]
    return max(1, len(fitting))


def _line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).strip()[:300]
