"""Metrics to TensorBoard and Weights & Biases, with doubles in the libraries' place."""

import contextlib
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genret import pipeline
from genret.config import ItemDecoderConfig, TokenizeConfig, TrainConfig
from genret.data import synthetic_tables
from genret.errors import GenretError
from genret.pipeline._trackers import tracker

RECORDS = [{"step": 20, "epoch": 0, "loss": 2.5}, {"step": 20, "valid": {"ndcg@10": 0.125}}]


class SummaryWriter:
    """A double of tensorboardX's."""

    made: list["SummaryWriter"] = []  # noqa: RUF012

    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder, self.purge_step = folder, purge_step
        self.lines: list[tuple[str, float, int]] = []
        self.closed = False
        self.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.lines.append((name, value, step))

    def close(self) -> None:
        self.closed = True


def test_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType("tensorboardX")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    with tracker("tensorboard", tmp_path, {}) as log:
        for record in RECORDS:
            log(record)
    (writer,) = SummaryWriter.made
    assert (writer.folder, writer.purge_step) == (str(tmp_path / "tensorboard"), 20)
    assert writer.lines == [
        ("train/epoch", 0, 20), ("train/loss", 2.5, 20), ("valid/ndcg_at_10", 0.125, 20),
    ]  # fmt: skip
    assert writer.closed


def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[tuple[dict[str, float], int]] = []
    asked: dict[str, Any] = {}
    job = types.SimpleNamespace(log=lambda values, step: logged.append((values, step)))

    @contextlib.contextmanager
    def init(**options: Any) -> Iterator[Any]:
        asked.update(options)
        yield job
        asked["finished"] = True

    module: Any = types.ModuleType("wandb")
    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setenv("WANDB_PROJECT", "shop")
    with tracker("wandb", tmp_path, {"seed": 3}) as log:
        for record in RECORDS:
            log(record)
    assert asked["project"] == "shop"
    assert asked["config"] == {"seed": 3}
    assert asked["finished"]
    assert logged == [({"train/epoch": 0, "train/loss": 2.5}, 20), ({"valid/ndcg@10": 0.125}, 20)]


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_a_library_that_is_missing_is_named(
    name: Any, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    expected = rf"--log-to {name}: found no {module}; .*'genret\[{name}\]'"
    with pytest.raises(GenretError, match=expected), tracker(name, tmp_path, {}):
        pass


@pytest.mark.slow
def test_a_training_tells_what_its_file_says(tmp_path: Path) -> None:
    run = tmp_path / "run"
    pipeline.ingest(run, *synthetic_tables(30, 20, 6, seed=0))
    pipeline.tokenize(run, TokenizeConfig(method="random", levels=2))
    told: list[dict[str, Any]] = []
    shape = ItemDecoderConfig(
        width=8, layers=1, heads=1, kv_heads=1, head_dim=8, mlp_dim=8, max_items=4
    )
    options = TrainConfig(steps=4, batch_size=4, eval_every=4, eval_users=8, log_every=2)
    pipeline.train(run, options, model=shape, on_metrics=told.append)
    lines = (run / "model" / "metrics.jsonl").read_text().splitlines()
    assert told == [json.loads(line) for line in lines]
    assert [record["step"] for record in told] == [2, 4, 4]
