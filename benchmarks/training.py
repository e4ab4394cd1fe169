"""Training speed: ItemDecoder against DecoderOnly, and packed histories against padded ones.

    python -m benchmarks.training --data DATA/office --json benchmarks/results/training.json

Every method is the product's own `train` on the same histories; only the architecture or the batching
differs. Its clock leaves out the first step, which compiles, and has the making of batches in it. Every
event of every history is a target once an epoch, so users per second are histories, not rows: a row
that packs three of them counts three. Rounds alternate between the methods; figures are medians.
"""

import dataclasses
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from benchmarks.bars import over
from benchmarks.process import Figures
from benchmarks.program import Program, make_main
from benchmarks.record import Points
from benchmarks.tables import Columns, Table
from genret.config import IngestConfig, TrainConfig
from genret.data import ingest, read_semantic_ids, synthetic
from genret.data.pipeline import TrainingBatches
from genret.errors import GenretError
from genret.histories import Histories
from genret.models import PRESETS, build_model, num_parameters
from genret.semantic_ids import SemanticIds
from genret.testing import random_codes
from genret.training import TrainResult, train

Kind = Literal["item_decoder", "decoder_only"]
METHODS: dict[str, tuple[Kind, Literal["pack", "pad"]]] = {
    "item_decoder, packed": ("item_decoder", "pack"),
    "item_decoder, padded": ("item_decoder", "pad"),
    "decoder_only, packed": ("decoder_only", "pack"),
}
MAX_ITEMS, EPOCHS = 20, 2
"""Longest history, which is what padding pads to; and epochs of a round."""
RATIOS = {
    "item_decoder / decoder_only": ("item_decoder, packed", "decoder_only, packed", 3.0),
    "packed / padded": ("item_decoder, packed", "item_decoder, padded", 1.5),
}
"""Ratio of users per second -> method, rival, and what it should reach."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training(Program):
    """Measure training speed; see the module's docstring."""

    small: ClassVar = {"preset": "tiny", "users": 200, "rounds": 2, "batch_size": 16}
    name: ClassVar[str] = "benchmarks.training"
    title: ClassVar[str] = "Training"
    bars: ClassVar = [over(name, "", name, min, limit) for name, (_, _, limit) in RATIOS.items()]
    columns: ClassVar[Columns] = {
        "parameters": ("parameters", "{:,}"),
        "users/s": ("users_per_second", "{:,.0f}"),
        "steps an epoch": ("steps_per_epoch", "{:,.0f}"),
    }

    data: Path | None = None
    """Folder with inter.json and index.json (LC-Rec's form); without it histories are invented."""
    preset: str = "base"
    """Architecture, for both kinds of model: width, depth and heads are the same."""
    batch_size: int = 128  # Rows of a batch.
    users: int = 1500  # Histories of an epoch, drawn from the data; 0 takes all.
    rounds: int = 3  # Rounds of each method.

    def points(self) -> Points:
        """Time every method on the same histories."""
        return {self.data.name if self.data else "invented data": partial(measure, self)}

    def tables(self, document: Figures) -> list[Table]:
        """Return a table of methods for each point."""
        points = document["points"].items()
        return [
            Table.of(f"{self.title}: {k}", self.columns, p.get("methods", {})) for k, p in points
        ]


def measure(options: Training) -> Figures:
    """Train by every method in turns."""
    semantic_ids, histories = read(options.data, options.users)
    users, events = int(np.count_nonzero(histories.lengths)), histories.num_events
    preset, runs, methods = PRESETS[options.preset], {}, {}
    for name, (kind, packing) in METHODS.items():
        model = build_model(
            preset.as_kind(
                kind, layers=1 if options.smoke else preset.layers, max_items=MAX_ITEMS,
                codes_per_level=semantic_ids.codes_per_level,
            ), 0,
        )  # fmt: skip
        config = TrainConfig(
            batch_size=options.batch_size, packing=packing, learning_rate=1e-3, warmup=0.0
        )
        steps, stream = 0, iter(TrainingBatches(histories, config, max_items=MAX_ITEMS, seed=0))
        while stream.get_state()["epoch"] < EPOCHS:
            next(stream)
            steps += 1
        config = dataclasses.replace(config, steps=steps, log_every=max(1, steps // 3))
        runs[name] = partial(train, model, semantic_ids, histories, config, max_items=MAX_ITEMS)
        methods[name] = {
            "parameters": num_parameters(model),
            "steps_per_epoch": steps / EPOCHS,
            "users_per_second_by_round": [],
        }
    for _ in range(options.rounds):
        for name, run in runs.items():
            result = run()
            check(name, result, events * EPOCHS)
            rate = result.items_per_second * users / events
            methods[name] |= {"losses": result.losses}
            methods[name]["users_per_second_by_round"].append(rate)
    for own in methods.values():
        own["users_per_second"] = statistics.median(own["users_per_second_by_round"])
    speed = {name: own["users_per_second"] for name, own in methods.items()}
    ratios = {name: speed[a] / speed[b] for name, (a, b, _) in RATIOS.items()}
    return {"users": users, "events": events, "methods": methods, **ratios}


def read(folder: Path | None, users: int) -> tuple[SemanticIds, Histories]:
    """Read a folder of the LC-Rec family, or invent; keep so many users (0: all), drawn with a seed."""
    if folder is None:
        catalog, found = synthetic(max(users, 50), 1000, 9, seed=0)
        codes = random_codes(catalog.num_items, (64, 64, 64, 8), "uniform", seed=0)
        semantic_ids = SemanticIds.from_codes(codes, codes_per_level=(64, 64, 64, 8))
    else:
        files = (folder / "inter.json",), (folder / "item.json",)
        catalog, found, _ = ingest(*files, config=IngestConfig())
        semantic_ids = read_semantic_ids(folder / "index.json", catalog.item_ids)
    histories = found.training()
    if 0 < users < len(histories):
        drawn = np.random.default_rng(0).choice(len(histories), users, replace=False)
        histories = histories.take(np.sort(drawn))
    return semantic_ids, histories


def check(name: str, result: TrainResult, events: int) -> None:
    """Refuse a training that left out or repeated an event, or whose loss has not fallen."""
    trained = sum(record["targets"] for record in result.records)
    if trained != events:
        raise GenretError(f"{name}: trained {trained} events, expected {events}")
    if not result.losses[-1] < result.losses[0]:
        raise GenretError(f"{name}: the loss rose from {result.losses[0]} to {result.losses[-1]}")


main = make_main(Training)

if __name__ == "__main__":
    sys.exit(main())
