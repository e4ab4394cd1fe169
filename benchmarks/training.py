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

from benchmarks.bars import Bar, verdicts
from benchmarks.program import Table, finish, make_main
from benchmarks.record import environment
from benchmarks.timing import interleave
from genret.config import IngestConfig, TrainConfig
from genret.data import ingest
from genret.data.pipeline import TrainingBatches
from genret.errors import GenretError
from genret.histories import Histories, offsets_of
from genret.models import PRESETS, build_model, num_parameters
from genret.semantic_ids import SemanticIds
from genret.testing import random_codes
from genret.tokenizers import resolve_collisions
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Measure training speed; see the module's docstring."""

    data: Path | None = None
    """Folder with inter.json and index.json (LC-Rec's form); without it histories are invented."""
    preset: str = "base"
    """Architecture, for both kinds of model: width, depth and heads are the same."""
    max_items: int = 20  # Longest history: what padding pads to.
    collisions: Literal["keep", "suffix"] = "keep"
    """Items with equal semantic IDs keep them, or are told apart by one more level."""
    batch_size: int = 128  # Rows of a batch.
    users: int = 1500  # Histories of an epoch, drawn from the data; 0 takes all.
    rounds: int = 5  # Rounds (epochs) of each method.
    out: Path | None = None  # Where to write the figures as JSON.
    smoke: bool = False  # The tiny architecture, few users: shows that it works.


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
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.waste: list[float] = []
        self.targets: list[int] = []
        self.compiled_late = 0
        # An epoch's plan says every shape; one batch of each is enough to compile.
        for rows in {rows.shape: rows for rows in self.batches.epoch(0)}.values():
            self.state = self.step(self.state, jax.device_put(self.batches.lay_out(rows)))
        jax.block_until_ready(self.state)

    def epoch(self) -> TrainState:
        """Train an epoch."""
        zeros = {"loss_sum": jnp.zeros((), jnp.float32), "target_count": jnp.zeros((), jnp.int32)}
        self.state = dataclasses.replace(self.state, **zeros)
        epoch, programs, filled = len(self.steps), self.step._cache_size(), []
        stream = iter(self.batches)
        stream.set_state({"epoch": epoch, "batch": 0})
        while stream.get_state()["epoch"] == epoch:
            batch = next(stream)
            self.state = self.step(self.state, jax.device_put(batch))
            filled.append(float((batch["segments"] > 0).mean()))
        self.compiled_late += self.step._cache_size() - programs
        self.steps.append(len(filled))
        self.losses.append(float(self.state.loss_sum) / len(filled))
        self.waste.append(1.0 - statistics.mean(filled))
        self.targets.append(int(self.state.target_count))
        return self.state

    def figures(self, seconds: list[float]) -> dict[str, Any]:
        """Return the medians of epochs that took so many seconds, as JSON values."""
        median = statistics.median(seconds)
        per_step = [1e3 * s / n for s, n in zip(seconds, self.steps, strict=True)]
        return {
            "parameters": self.parameters,
            "users_per_second": self.num_users / median,
            "codes_per_second": self.num_events * len(self.config.codes_per_level) / median,
            "ms_per_step": statistics.median(per_step),
            "steps_per_epoch": statistics.median(self.steps),
            "seconds": seconds,
            "padding": statistics.mean(self.waste),
            "losses": self.losses,
        }


@dataclasses.dataclass(frozen=True)
class Data:
    """Training histories (item rows) and the semantic IDs of the items."""

    semantic_ids: SemanticIds
    histories: Histories

    @classmethod
    def read(cls, folder: Path, collisions: Literal["keep", "suffix"]) -> "Data":
        """Read a folder of the LC-Rec family."""
        from genret.data import read_semantic_ids

        files = (folder / "inter.json",), (folder / "item.json",)
        catalog, histories, _ = ingest(*files, config=IngestConfig())
        raw = read_semantic_ids(folder / "index.json", catalog.item_ids)
        return cls(resolve_collisions(raw, collisions), histories.training())

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


def measure(options: Options) -> dict[str, Any]:
    """Time every method; return the figures as JSON values."""
    machine = environment()
    if options.data is not None:
        found = Data.read(options.data, options.collisions)
    else:
        found = Data.invented(sizes=(64, 16)) if options.smoke else Data.invented()
    data = found.sample(options.users)
    steps: dict[str, Any] = {}
    methods = {name: Method(name, data, options, steps) for name in METHODS}
    epochs = {name: method.epoch for name, method in methods.items()}
    times = interleave(epochs, options.rounds, warm=0)
    check(methods)
    seconds = {name: [ms / 1e3 for ms in own["rounds_ms"]] for name, own in times.items()}
    # Neighbors in time met the same machine: their ratio says how sure the median is.
    ranges = {}
    for name, (a, b, _) in RATIOS.items():
        pairs = zip(seconds[a], seconds[b], strict=True)
        of_rounds = [theirs / ours for ours, theirs in pairs]
        ranges[name] = [min(of_rounds), max(of_rounds)]
    figures = {name: method.figures(seconds[name]) for name, method in methods.items()}
    speed = {name: own["users_per_second"] for name, own in figures.items()}
    asked = dataclasses.asdict(options)
    document = {
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
        "ranges": ranges,
    }
    return document | {"bars": {} if options.smoke else verdicts(document, BARS)}


def check(methods: dict[str, Method]) -> None:
    """Refuse figures of a method that did not do the work, or did other work than the step's.

    Raises:
      GenretError: an epoch that left out or repeated an event, a step that was compiled while it was
        timed, a loss that is not finite, or one that has not fallen since the first epoch.
    """
    for name, own in methods.items():
        first, last = own.losses[0], own.losses[-1]
        if {*own.targets} != {own.num_events}:
            raise GenretError(f"{name}: trained {own.targets} events, expected {own.num_events}")
        if own.compiled_late:
            raise GenretError(f"{name}: a step was compiled while it was timed")
        if not np.isfinite(own.losses).all():
            raise GenretError(f"{name}: the loss is {last}")
        if len(own.losses) > 1 and not last < first:
            raise GenretError(f"{name}: the loss rose from {first} to {last}")


def run(options: Options, console: Console) -> None:
    """Measure and show."""
    if options.smoke:
        options = dataclasses.replace(options, preset="tiny", users=200, rounds=2, batch_size=16)
    document = measure(options)
    columns = ("method", "parameters", "users/s", "codes/s", "ms a step", "padding")
    rows = [
        (name, f"{f['parameters']:,}", f"{f['users_per_second']:,.0f}",
         f"{f['codes_per_second']:,.0f}", f"{f['ms_per_step']:.1f}", f"{f['padding']:.0%}")
        for name, f in document["methods"].items()
    ]  # fmt: skip
    Table("Training, medians of rounds that alternate", columns, rows).show(console)
    for name, ratio in document["ratios"].items():
        low, high = document["ranges"][name]
        console.print(f"{name}: {ratio:.2f} (rounds: {low:.2f} to {high:.2f})")
    finish(document, options.out, console)


main = make_main("benchmarks.training", Options, run)

if __name__ == "__main__":
    sys.exit(main())
