"""Training speed: ItemDecoder against DecoderOnly, and packed histories against padded ones.

Every method runs the product's own step on the product's own batches of the same histories; only
the architecture or the batching differs. A round is a whole epoch, in which every event of every
history is a target once, and making its batches is part of it. So users per second are histories,
not rows: a row that packs three of them counts three. Rounds alternate between the methods; figures
are medians.
"""

import dataclasses
import statistics
import sys
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from rich.console import Console

from benchmarks.bars import Bar
from benchmarks.process import Figures
from benchmarks.program import Table, finish, make_main
from benchmarks.record import environment
from benchmarks.timing import interleave
from genret.config import IngestConfig, TrainConfig
from genret.data import ingest, read_semantic_ids
from genret.data.pipeline import TrainingBatches
from genret.errors import GenretError
from genret.histories import Histories, offsets_of
from genret.models import PRESETS, build_model, num_parameters
from genret.semantic_ids import SemanticIds
from genret.testing import random_codes
from genret.training import Objective, TrainState, make_optimizer, make_step

Packing = Literal["pack", "bucket", "pad"]
METHODS: dict[str, tuple[Literal["item_decoder", "decoder_only"], Packing]] = {
    "item_decoder, packed": ("item_decoder", "pack"),
    "item_decoder, bucketed": ("item_decoder", "bucket"),
    "item_decoder, padded": ("item_decoder", "pad"),
    "decoder_only, packed": ("decoder_only", "pack"),
}
RATIOS = {
    "item_decoder / decoder_only": ("item_decoder, packed", "decoder_only, packed", 3.0),
    "packed / padded": ("item_decoder, packed", "item_decoder, padded", 1.5),
    "bucketed / padded": ("item_decoder, bucketed", "item_decoder, padded", None),
}
"""Ratio of users per second -> method, rival, and what it should reach (None: only shown)."""
BARS = [Bar(name, lambda d, n=name: d["ratios"][n], bar) for name, (_, _, bar) in RATIOS.items()]
COLUMNS = {
    "parameters": ("parameters", "{:,}"),
    "users/s": ("users_per_second", "{:,.0f}"),
    "codes/s": ("codes_per_second", "{:,.0f}"),
    "ms a step": ("ms_per_step", "{:.1f}"),
    "padding": ("padding", "{:.0%}"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Measure training speed; see the module's docstring."""

    data: Path | None = None
    """Folder with inter.json and index.json (LC-Rec's form); without it histories are invented."""
    preset: str = "base"
    """Architecture, for both kinds of model: width, depth and heads are the same."""
    max_items: int = 20  # Longest history: what padding pads to.
    batch_size: int = 128  # Rows of a batch.
    users: int = 1500  # Histories of an epoch, drawn from the data; 0 takes all.
    rounds: int = 5  # Rounds (epochs) of each method.
    out: Path | None = None  # Where to write the figures as JSON.
    smoke: bool = False  # The tiny architecture, few users: shows that it works.

    def main(self, console: Console) -> None:
        """Measure and show."""
        small = {"preset": "tiny", "users": 200, "rounds": 2, "batch_size": 16}
        document = measure(dataclasses.replace(self, **small) if self.smoke else self)
        title = "Training, medians of rounds that alternate"
        table = Table.of(title, COLUMNS, document["methods"])
        finish(document, [] if self.smoke else BARS, self.out, console, table)
        for name, ratio in document["ratios"].items():
            low, high = document["ranges"][name]
            console.print(f"{name}: {ratio:.2f} (rounds: {low:.2f} to {high:.2f})")


class Method:
    """One model with its batches, compiled and ready to be timed."""

    def __init__(
        self, name: str, data: "Data", options: Options, steps: dict[str, Any] | None = None
    ) -> None:
        kind, packing = METHODS[name]
        preset = PRESETS[options.preset]
        self.config = preset.as_kind(
            kind, layers=1 if options.smoke else preset.layers, max_items=options.max_items,
            codes_per_level=data.semantic_ids.codes_per_level,
        )  # fmt: skip
        train = TrainConfig(
            batch_size=options.batch_size, packing=packing, learning_rate=1e-3, warmup=0.0
        )
        model = build_model(self.config, 0)
        self.parameters = num_parameters(model)
        graphdef, params = nnx.split(model)
        optimizer = make_optimizer(train)
        objective = Objective.of(train, data.semantic_ids)
        self.state = TrainState.init(params, optimizer, objective)
        # Methods of one architecture share its compiled step.
        steps = {} if steps is None else steps
        if kind not in steps:
            steps[kind] = make_step(graphdef, optimizer, objective, seed=0)
        self.step = steps[kind]
        self.batches = TrainingBatches(
            data.histories, train, max_items=self.config.max_items, seed=0
        )
        self.num_events, self.num_users = data.histories.num_events, data.num_users
        self.epochs: list[dict[str, float]] = []
        self.compiled_late = 0
        # A window's plan says every shape; one batch of each is enough to compile.
        plan = self.batches.window(0, 0, self.batches.order(0))
        for rows in {rows.shape: rows for rows in plan}.values():
            self.state = self.step(self.state, jax.device_put(self.batches.lay_out(rows)))
        jax.block_until_ready(self.state)

    def epoch(self) -> TrainState:
        """Train an epoch."""
        zeros = {"loss_sum": jnp.zeros((), jnp.float32), "target_count": jnp.zeros((), jnp.int32)}
        self.state = dataclasses.replace(self.state, **zeros)
        epoch, programs, filled = len(self.epochs), self.step._cache_size(), []
        stream = iter(self.batches)
        stream.set_state({"epoch": epoch, "batch": 0})
        while stream.get_state()["epoch"] == epoch:
            batch = next(stream)
            self.state = self.step(self.state, jax.device_put(batch))
            filled.append(float((batch["segments"] > 0).mean()))
        self.compiled_late += self.step._cache_size() - programs
        self.epochs.append(
            {
                "steps": len(filled),
                "loss": float(self.state.loss_sum) / len(filled),
                "padding": 1.0 - statistics.mean(filled),
                "targets": int(self.state.target_count),
            }
        )
        return self.state

    def each(self, figure: str) -> list[float]:
        """Return a figure of each epoch."""
        return [epoch[figure] for epoch in self.epochs]

    def figures(self, seconds: list[float]) -> Figures:
        """Return the medians of epochs that took so many seconds, as JSON values."""
        median, steps = statistics.median(seconds), self.each("steps")
        return {
            "parameters": self.parameters,
            "users_per_second": self.num_users / median,
            "codes_per_second": self.num_events * len(self.config.codes_per_level) / median,
            "ms_per_step": statistics.median(
                1e3 * s / n for s, n in zip(seconds, steps, strict=True)
            ),
            "steps_per_epoch": statistics.median(steps),
            "seconds": seconds,
            "padding": statistics.mean(self.each("padding")),
            "losses": self.each("loss"),
        }


@dataclasses.dataclass(frozen=True)
class Data:
    """Training histories (item rows) and the semantic IDs of the items."""

    semantic_ids: SemanticIds
    histories: Histories

    @classmethod
    def read(cls, folder: Path) -> "Data":
        """Read a folder of the LC-Rec family."""
        files = (folder / "inter.json",), (folder / "item.json",)
        catalog, histories, _ = ingest(*files, config=IngestConfig())
        read = read_semantic_ids(folder / "index.json", catalog.item_ids)
        return cls(read, histories.training())

    @classmethod
    def invented(
        cls, users: int = 3000, items: int = 1000, sizes: tuple[int, ...] = (64, 64, 64, 8)
    ) -> "Data":
        """Make histories of 3 to 20 items, most of them short."""
        rng = np.random.default_rng(0)
        lengths = np.minimum(3 + rng.geometric(0.15, users), 20)
        rows = rng.integers(items, size=int(lengths.sum()))
        codes = random_codes(items, sizes, "uniform", seed=0)
        semantic_ids = SemanticIds.from_codes(codes, codes_per_level=sizes)
        return cls(semantic_ids, Histories(offsets=offsets_of(lengths), items=rows))

    @property
    def num_users(self) -> int:
        """Histories with at least one event."""
        return int(np.count_nonzero(self.histories.lengths))

    def sample(self, users: int) -> "Data":
        """Keep so many histories, drawn with a fixed seed; 0 keeps all."""
        everybody = len(self.histories)
        if not 0 < users < everybody:
            return self
        kept = np.sort(np.random.default_rng(0).choice(everybody, users, replace=False))
        return dataclasses.replace(self, histories=self.histories.take(kept))


def measure(options: Options) -> Figures:
    """Time every method; return the figures as JSON values."""
    machine = environment()
    invented = {"sizes": (64, 16)} if options.smoke else {}
    found = Data.read(options.data) if options.data else Data.invented(**invented)
    data = found.sample(options.users)
    steps: dict[str, Any] = {}
    methods = {name: Method(name, data, options, steps) for name in METHODS}
    epochs = {name: method.epoch for name, method in methods.items()}
    times = interleave(epochs, options.rounds, warm=0)
    check(methods)
    seconds = {name: np.array(own["rounds_ms"]) / 1e3 for name, own in times.items()}
    figures = {name: method.figures(seconds[name].tolist()) for name, method in methods.items()}
    speed = {name: own["users_per_second"] for name, own in figures.items()}
    # Neighbors in time met the same machine: their ratio says how sure the median is.
    of_rounds = {name: seconds[b] / seconds[a] for name, (a, b, _) in RATIOS.items()}
    asked = dataclasses.asdict(options)
    return {
        "program": "benchmarks.training",
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in asked.items()},
        "data": {
            "items": len(data.semantic_ids),
            "codes_per_level": list(data.semantic_ids.codes_per_level),
            "users": data.num_users,
            "events": data.histories.num_events,
        },
        "environment": machine,
        "methods": figures,
        "ratios": {name: speed[a] / speed[b] for name, (a, b, _) in RATIOS.items()},
        "ranges": {name: [min(own), max(own)] for name, own in of_rounds.items()},
    }


def check(methods: dict[str, Method]) -> None:
    """Refuse figures of a method that did not do the work, or did other work than the step's.

    Raises:
      GenretError: an epoch that left out or repeated an event, a step that was compiled while it was
        timed, a loss that is not finite, or one that has not fallen since the first epoch.
    """
    for name, own in methods.items():
        losses, targets = own.each("loss"), own.each("targets")
        if {*targets} != {own.num_events}:
            raise GenretError(f"{name}: trained {targets} events, expected {own.num_events}")
        if own.compiled_late:
            raise GenretError(f"{name}: a step was compiled while it was timed")
        if not np.isfinite(losses).all():
            raise GenretError(f"{name}: the loss is {losses[-1]}")
        if len(losses) > 1 and not losses[-1] < losses[0]:
            raise GenretError(f"{name}: the loss rose from {losses[0]} to {losses[-1]}")


main = make_main("benchmarks.training", Options)

if __name__ == "__main__":
    sys.exit(main())
