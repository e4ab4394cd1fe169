"""Metrics of a training to TensorBoard or Weights & Biases: the one file that imports either."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from genret.errors import GenretError

TrackerName = Literal["tensorboard", "wandb"]
Record = dict[str, Any]


@contextlib.contextmanager
def tracker(
    name: TrackerName | None, run: Path, config: Mapping[str, Any]
) -> Iterator[Callable[[Record], object]]:
    """Open a tracker of experiments for the length of a training.

    TensorBoard's files go to ``RUN/tensorboard``. Weights & Biases takes the run folder's name, the
    project of ``WANDB_PROJECT`` (or ``genret``), and keeps its files in ``RUN/wandb``.

    Args:
      name: which one; None records nothing.
      run: the run folder.
      config: of the training, as JSON values.

    Yields:
      A function that takes the records of the training.

    Raises:
      GenretError: the library is not installed.
    """
    if name is None:
        yield lambda _: None
    elif name == "tensorboard":
        with _tensorboard(run / "tensorboard") as record:
            yield record
    else:
        with _wandb(run, config) as record:
            yield record


def scalars(record: Record) -> dict[str, int | float]:
    """Return the numbers of a record by name.

    >>> scalars({"step": 20, "loss": 1.5, "epoch": 0})
    {'train/loss': 1.5, 'train/epoch': 0}
    >>> scalars({"step": 20, "valid": {"ndcg@10": 0.1}})
    {'valid/ndcg@10': 0.1}
    """
    if "valid" in record:
        return {f"valid/{key}": value for key, value in record["valid"].items()}
    return {f"train/{key}": value for key, value in record.items() if key != "step"}


@contextlib.contextmanager
def _tensorboard(folder: Path) -> Iterator[Callable[[Record], object]]:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as e:
        raise _missing("tensorboard", "tensorboardX") from e
    writer: Any = None

    def log(record: Record) -> None:
        nonlocal writer
        if writer is None:
            # Steps after the checkpoint that a training goes on from are drawn once.
            writer = SummaryWriter(str(folder), purge_step=record["step"])
        for name, value in scalars(record).items():
            # TensorBoard's names have no "@".
            writer.add_scalar(name.replace("@", "_at_"), value, record["step"])

    try:
        yield log
    finally:
        if writer is not None:
            writer.close()


@contextlib.contextmanager
def _wandb(run: Path, config: Mapping[str, Any]) -> Iterator[Callable[[Record], object]]:
    try:
        import wandb
    except ImportError as e:
        raise _missing("wandb", "wandb") from e
    project = os.environ.get("WANDB_PROJECT", "genret")
    with wandb.init(project=project, name=run.name, dir=str(run), config=dict(config)) as job:
        yield lambda record: job.log(scalars(record), step=record["step"])


def _missing(extra: str, library: str) -> GenretError:
    return GenretError(
        f"--log-to {extra}: found no {library}; install it with: pip install 'genret[{extra}]'"
    )
