"""The training loop: steps, metrics, validation, early stopping, checkpoints."""

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from genret.config import TrainConfig
from genret.data.pipeline import TrainingBatches
from genret.errors import GenretError
from genret.histories import Histories
from genret.models import capabilities_of
from genret.semantic_ids import SemanticIds
from genret.training._checkpoint import restore_checkpoint, save_checkpoint
from genret.training._objective import Objective
from genret.training._optimizer import learning_rate, make_optimizer
from genret.training._processes import agree, from_first, named_if_lost
from genret.training._sharding import Placement
from genret.training._step import TrainState, make_step

_log = logging.getLogger(__name__)

Model = TypeVar("Model", bound=nnx.Module)
Record = dict[str, Any]

CRITERION = "ndcg@10"
"""The validation metric that chooses the parameters and stops the training."""


@dataclasses.dataclass(frozen=True)
class TrainResult(Generic[Model]):
    """A trained model and how it came about.

    Attributes:
      model: with the parameters of the best validation, or the last ones without validation.
      records: lines of metrics, in order: ``{"step", "epoch", "loss", "learning_rate", …}`` and
        ``{"step", "valid": {…}}``.
      steps: optimizer steps done.
      best_step: the step whose parameters these are.
      best: the value of ``ndcg@10`` there; None without validation.
      items_per_second: training targets per second, without compilation and validation, of the
        steps done in this process.
      losses: the loss at the end of each logging interval.
    """

    model: Model
    records: list[Record]
    steps: int
    best_step: int
    best: float | None
    items_per_second: float

    @property
    def losses(self) -> list[float]:
        """The losses of the records, in order."""
        return [record["loss"] for record in self.records if "loss" in record]


@dataclasses.dataclass
class _Progress:
    """Position of the loop beside the arrays; goes into checkpoints as JSON."""

    data: dict[str, Any]
    records: list[Record] = dataclasses.field(default_factory=list)
    best: float | None = None
    best_step: int = 0
    since_best: int = 0


@named_if_lost()
def train(
    model: Model,
    semantic_ids: SemanticIds,
    histories: Histories,
    config: TrainConfig,
    *,
    seed: int = 0,
    max_items: int,
    checkpoint_dir: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    validate: Callable[[Model], Mapping[str, float]] | None = None,
    log: Callable[[Record], object] | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> TrainResult[Model]:
    """Train a model on the histories.

    Several processes that have joined (:func:`joined`) train one model on a mesh of all their
    devices: each calls this with the same arguments, lays out its own rows of each batch and writes
    its own parts of a checkpoint. All get the trained model.

    With a checkpoint folder, training continues from the newest checkpoint there, and its losses
    and parameters are bit-identical to those of a run that was never interrupted.

    Args:
      model: a model with ``logits(codes, segments, positions, dropout_key=…)``; it is not changed.
      semantic_ids: those of the items.
      histories: the training events of each user, with times and users for a model that reads them.
      config: the optimization.
      seed: seed of batches and dropout.
      max_items: longest history that the model sees.
      checkpoint_dir: where checkpoints lie; None writes none.
      identity: what a checkpoint must agree on to be resumed, as JSON values.
      validate: gives metrics of a model, ``ndcg@10`` among them; called every ``eval_every`` steps.
      log: called with each record.
      devices: devices that share the batch, where ``config`` has no mesh; None takes one.

    Returns:
      The trained model and its records.

    Raises:
      GenretError: no events, a damaged or foreign checkpoint, a mesh that does not divide the devices,
        devices that do not divide the batch, a loss that is not finite, processes that were not
        started alike, or one that is lost.
    """
    identity = {**config.what_is_learned(), **(identity or {}), "seed": seed}
    alike = {**identity, "mesh": config.mesh, "remat": config.remat, "max_items": max_items}
    agree({**alike, "training events": histories.num_events})
    place = Placement(config, devices)
    graphdef, params = nnx.split(model)
    optimizer = make_optimizer(config)
    # The step consumes its state: start from copies, so that the caller's model stays whole.
    params = place.put(jax.tree.map(jnp.copy, params))
    counts = histories.item_counts(len(semantic_ids))
    objective = place.replicate(Objective.of(config, semantic_ids, counts))
    state = _first_state(params, optimizer, objective, place)
    best_params = jax.tree.map(jnp.copy, params)
    can = capabilities_of(model)
    batches = iter(
        TrainingBatches(
            histories,
            config,
            max_items=max_items,
            seed=seed,
            multiple_of=place.multiple_of,
            own_rows=place.own_rows,
            one_target=can.one_target_a_row,
            time_buckets=can.time_buckets,
            user_buckets=can.user_buckets,
        )
    )
    progress = _Progress(batches.get_state())
    if checkpoint_dir is not None:
        found = restore_checkpoint(checkpoint_dir, (state, best_params), identity)
        if found is not None:
            (state, best_params), summary = found
            progress = _Progress(**summary)
            batches.set_state(progress.data)
            _log.info("resumed at step %d", int(state.step))
    step_fn = make_step(graphdef, optimizer, objective, seed=seed, place=place)
    schedule = learning_rate(config)
    clock = _Clock()
    done = int(state.step)
    while done < config.steps and not _stopped(progress, config):
        state = step_fn(state, place.split(next(batches)))
        done += 1
        last = done == config.steps
        if clock.steps == 0:
            jax.block_until_ready(state)  # the first step compiles: the clock starts after it
            clock.start(int(state.target_count))
        clock.steps += 1
        if done % config.log_every == 0 or last:
            record, state = _record(state, config, progress, batches.get_state(), schedule)
            clock.add(record["targets"])
            progress.records.append(record)
            if log is not None:
                log(record)
        if validate is not None and (done % config.eval_every == 0 or last):
            jax.block_until_ready(state)
            clock.pause()
            metrics = validate(nnx.merge(graphdef, place.whole(state.params)))
            metrics = from_first(dict(metrics))
            _judge(progress, metrics[CRITERION], done)
            if progress.best_step == done:
                best_params = jax.tree.map(jnp.copy, state.params)
            progress.records.append({"step": done, "valid": metrics})
            if log is not None:
                log(progress.records[-1])
            clock.resume()
        if checkpoint_dir is not None and (done % config.checkpoint_every == 0 or last):
            clock.pause()
            progress.data = batches.get_state()
            tree = (state, best_params)
            save_checkpoint(checkpoint_dir, done, tree, dataclasses.asdict(progress), identity)
            clock.resume()
    chosen = state.params if validate is None else best_params
    return TrainResult(
        model=nnx.merge(graphdef, place.whole(chosen)),
        records=progress.records,
        steps=done,
        best_step=done if validate is None else progress.best_step,
        best=progress.best,
        items_per_second=clock.rate(),
    )


def _first_state(
    params: Any, optimizer: optax.GradientTransformation, objective: Objective, place: Placement
) -> TrainState:
    """Return the state before the first step; on a mesh no device ever holds all of it."""
    if not place.on_mesh:
        return place.replicate(TrainState.init(params, optimizer, objective))

    def init(params: Any) -> TrainState:
        return TrainState.init(params, optimizer, objective)

    lie = place.shardings(jax.eval_shape(init, params))
    return jax.jit(init, out_shardings=lie)(params)


def _stopped(progress: _Progress, config: TrainConfig) -> bool:
    return config.patience > 0 and progress.since_best >= config.patience


def _judge(progress: _Progress, value: float, step: int) -> None:
    """Note whether a validation is the best so far."""
    if progress.best is None or value > progress.best:
        progress.best, progress.best_step, progress.since_best = value, step, 0
    else:
        progress.since_best += 1


def _record(
    state: TrainState,
    config: TrainConfig,
    progress: _Progress,
    data: Mapping[str, Any],
    schedule: Callable[[int], Any],
) -> tuple[Record, TrainState]:
    """Return the line of metrics since the last one, and the state with its sums at zero."""
    step = int(state.step)
    before = next((r["step"] for r in reversed(progress.records) if "loss" in r), 0)
    loss = float(state.loss_sum) / (step - before)
    if not np.isfinite(loss):
        raise GenretError(
            f"training: the loss is {loss} at step {step}; try a smaller learning_rate "
            f"(found {config.learning_rate}) or clip (found {config.clip})"
        )
    record = {
        "step": step,
        "epoch": data["epoch"],
        "loss": loss,
        "learning_rate": float(schedule(step - 1)),
        "targets": int(state.target_count),
    }
    zeros = {"loss_sum": state.loss_sum * 0, "target_count": state.target_count * 0}
    return record, dataclasses.replace(state, **zeros)


class _Clock:
    """Time and targets of the steps after the first one, without validations and checkpoints."""

    def __init__(self) -> None:
        self.steps = 0
        self._targets = 0
        self._first = 0
        self._seconds = 0.0
        self._since = 0.0

    def start(self, first: int) -> None:
        self._first = first
        self.resume()

    def add(self, targets: int) -> None:
        self._targets += targets

    def pause(self) -> None:
        self._seconds += time.perf_counter() - self._since

    def resume(self) -> None:
        self._since = time.perf_counter()

    def rate(self) -> float:
        """Return targets per second; 0 when there were none to count."""
        seconds = self._seconds + (time.perf_counter() - self._since)
        counted = self._targets - self._first
        return counted / seconds if counted > 0 and self._since > 0 else 0.0
