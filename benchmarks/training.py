"""Training speed: ItemDecoder against DecoderOnly, and packed histories against padded ones.

Every method runs the product's own step on the product's own batches of the same histories; only
the architecture or the batching differs. Users per second are histories, not rows: a row that packs
three of them counts three. The rounds alternate between the methods; figures are medians.
"""

import dataclasses
import itertools
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import tyro
from flax import nnx
from rich.console import Console
from rich.table import Table

from benchmarks._common import environment, write_json
from genret.config import IngestConfig, TrainConfig
from genret.data import ingest
from genret.data.pipeline import TrainingBatches
from genret.errors import GenretError
from genret.models import PRESETS, build_model, num_parameters
from genret.testing import random_codes
from genret.tokenizers import resolve_collisions
from genret.training import TrainState, make_optimizer, make_step

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
"""Ratio of users per second -> method, rival, and what it should reach."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Measure training speed; see the module's docstring."""

    data: Path | None = None
    """Folder with inter.json and index.json (LC-Rec's form); without it histories are invented."""
    preset: str = "base"
    """Architecture, for both kinds of model: width, depth and heads are the same."""
    max_items: int = 20
    """Longest history: what padding pads to."""
    batch_size: int = 64
    """Rows of a batch."""
    steps: int = 5
    """Steps of a round."""
    rounds: int = 7
    """Rounds of each method."""
    out: Path | None = None
    """Where to write the figures as JSON."""
    smoke: bool = False
    """The tiny architecture, few steps: shows that it works."""


class Method:
    """One model with its batches, compiled and ready to be timed."""

    def __init__(self, name: str, data: "Data", options: Options) -> None:
        kind, packing = METHODS[name]
        self.config = dataclasses.replace(
            PRESETS[options.preset],
            kind=kind,
            codes_per_level=data.codes_per_level,
            max_items=options.max_items,
        )
        train = TrainConfig(
            batch_size=options.batch_size, packing=packing, learning_rate=1e-3, warmup=0.0
        )
        model = build_model(self.config, 0)
        self.parameters = num_parameters(model)
        graphdef, params = nnx.split(model)
        optimizer = make_optimizer(train)
        self.state = TrainState.init(params, optimizer)
        self.step = make_step(graphdef, optimizer, jnp.asarray(data.codes), seed=0)
        batches = TrainingBatches(
            data.offsets, data.items, train, max_items=self.config.max_items, seed=0
        )
        self.batches = list(itertools.islice(iter(batches), options.steps))
        filled = [float((batch["segments"] > 0).mean()) for batch in self.batches]
        self.waste = 1.0 - statistics.mean(filled)
        self.events = [int((batch["segments"] > 0).sum()) for batch in self.batches]
        self.seconds: list[float] = []
        self.loss = [self._round()]  # compiles every shape

    def _round(self) -> float:
        zero = jnp.zeros((), jnp.float32)
        self.state = dataclasses.replace(self.state, loss_sum=zero)
        for batch in self.batches:
            self.state = self.step(self.state, batch)
        return float(self.state.loss_sum) / len(self.batches)

    def time_round(self) -> None:
        """Run the steps of a round; the last loss is waited for."""
        start = time.perf_counter()
        loss = self._round()
        self.seconds.append(time.perf_counter() - start)
        self.loss.append(loss)

    def figures(self, mean_events: float) -> dict[str, Any]:
        """Return the medians, as JSON values."""
        seconds = statistics.median(self.seconds)
        users = sum(self.events) / mean_events
        return {
            "parameters": self.parameters,
            "users_per_second": users / seconds,
            "codes_per_second": sum(self.events) * len(self.config.codes_per_level) / seconds,
            "ms_per_step": 1e3 * seconds / len(self.batches),
            "slowest_round / fastest_round": max(self.seconds) / min(self.seconds),
            "padding": self.waste,
            "first_loss": self.loss[0],
            "last_loss": self.loss[-1],
        }


@dataclasses.dataclass(frozen=True)
class Data:
    """Training histories (item rows) and the semantic IDs of the items."""

    codes: np.ndarray
    codes_per_level: tuple[int, ...]
    offsets: np.ndarray
    items: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> "Data":
        """Read a folder of the LC-Rec family."""
        from genret.data import read_semantic_ids

        catalog, histories, _ = ingest(
            (folder / "inter.json",), (folder / "item.json",), config=IngestConfig()
        )
        raw = read_semantic_ids(folder / "index.json", catalog.item_ids)
        codes, sizes = resolve_collisions(raw, tuple((raw.max(0) + 1).tolist()), "suffix")
        offsets, items = histories.training()
        return cls(codes, sizes, offsets, items)

    @classmethod
    def invented(cls, users: int = 3000, items: int = 1000) -> "Data":
        """Make histories of 3 to 20 items, most of them short."""
        rng = np.random.default_rng(0)
        lengths = np.minimum(3 + rng.geometric(0.15, users), 20)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        codes = random_codes(items, (64, 64, 64, 8), "uniform", seed=0)
        rows = rng.integers(items, size=int(lengths.sum())).astype(np.int32)
        return cls(codes, (64, 64, 64, 8), offsets, rows)


def measure(options: Options) -> dict[str, Any]:
    """Time every method; return the figures as JSON values."""
    data = Data.invented() if options.data is None else Data.read(options.data)
    mean_events = len(data.items) / np.count_nonzero(np.diff(data.offsets))
    methods = {name: Method(name, data, options) for name in METHODS}
    check(methods)
    for _ in range(options.rounds):
        for method in methods.values():
            method.time_round()
    check(methods)
    figures = {name: method.figures(float(mean_events)) for name, method in methods.items()}
    ratios = {
        name: figures[a]["users_per_second"] / figures[b]["users_per_second"]
        for name, (a, b, _) in RATIOS.items()
    }
    return {
        "program": "benchmarks.training",
        "options": {
            k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(options).items()
        },
        "data": {
            "items": len(data.codes),
            "codes_per_level": list(data.codes_per_level),
            "users": int(np.count_nonzero(np.diff(data.offsets))),
            "events": len(data.items),
        },
        "environment": environment(),
        "methods": figures,
        "ratios": ratios,
    }


def check(methods: dict[str, Method]) -> None:
    """Refuse figures of a method that does not learn what the others do.

    Raises:
      GenretError: a loss that is not finite, or that has not fallen since the first round.
    """
    for name, method in methods.items():
        if not np.isfinite(method.loss).all():
            raise GenretError(f"{name}: the loss is {method.loss[-1]}")
        if len(method.loss) > 1 and not method.loss[-1] < method.loss[0]:
            raise GenretError(f"{name}: the loss rose from {method.loss[0]} to {method.loss[-1]}")


def show(document: dict[str, Any], console: Console) -> None:
    """Print the figures."""
    table = Table(title="Training, medians of rounds that alternate", title_justify="left")
    for column in ("method", "parameters", "users/s", "codes/s", "ms a step", "padding"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, f in document["methods"].items():
        table.add_row(
            name, f"{f['parameters']:,}", f"{f['users_per_second']:,.0f}",
            f"{f['codes_per_second']:,.0f}", f"{f['ms_per_step']:.1f}", f"{f['padding']:.0%}",
        )  # fmt: skip
    console.print(table)
    for name, ratio in document["ratios"].items():
        bar = RATIOS[name][2]
        console.print(f"{name}: {ratio:.2f} x" + (f" (bar: {bar} x)" if bar else ""))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    options = tyro.cli(Options, args=argv, prog="python -m benchmarks.training")
    if options.smoke:
        options = dataclasses.replace(options, preset="tiny", steps=2, rounds=2, batch_size=16)
    try:
        document = measure(options)
    except GenretError as e:
        print(f"benchmarks.training: error: {e}", file=sys.stderr)
        return 2
    show(document, Console(highlight=False))
    if options.out is not None:
        write_json(options.out, document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
