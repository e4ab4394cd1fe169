"""The constraint index and the search, beside STATIC in one process: the bars of the engine's core.

    python -m benchmarks.constraint --preset bars --static CHECKOUT --data DATA --json FILE

Every timed answer is compared with the exact one of a NumPy search. Points are written as they come;
``--resume`` goes on where a run was cut off.
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks import _answer_bars, _decoding_bars, _index_bars, _live_bars, _model_bars
from benchmarks._common import environment
from benchmarks._record import Record
from benchmarks._static import Static, load
from genret.errors import GenretError


@dataclasses.dataclass(frozen=True)
class Preset:
    """Sizes of all bars."""

    decoding: _decoding_bars.Sizes
    index: _index_bars.Sizes
    live: _live_bars.Sizes
    model: _model_bars.Sizes
    tries: int


PRESETS = {
    "smoke": Preset(
        decoding=_decoding_bars.Sizes(
            items=(2000,), codes=(64,), shapes=((2, 5),), depth=3, repeats=3,
            skewed=(2000, 64), filter_batch=(4, 5),
        ),
        index=_index_bars.Sizes(
            items=5000, codes=64, depth=3, builds=2, tokenized=2000, big=20_000, small=2000,
            repeats=3, free_gib=1,
        ),
        live=_live_bars.Sizes(
            items=2000, codes=64, depth=3, shape=(2, 5), refreshes=2, filters=2, inserts=2,
            insert_into=5000, repeats=3,
        ),
        model=_model_bars.Sizes(
            items=2000, codes=64, depth=4, shape=(2, 5), histories=2, repeats=3, beams=(2, 8),
            history_items=8, preset_width=32,
        ),
        tries=8,
    ),
    "bars": Preset(
        decoding=_decoding_bars.Sizes(
            items=(10**5, 10**6, 10**7), codes=(256, 2048, 8192),
            shapes=((2, 70), (16, 70), (4, 256)), depth=8, repeats=15,
            skewed=(10**6, 2048), filter_batch=(32, 70),
        ),
        index=_index_bars.Sizes(
            items=10**7, codes=2048, depth=8, builds=3, tokenized=10**6, big=10**8, small=10**6,
            repeats=15, free_gib=18,
        ),
        live=_live_bars.Sizes(
            items=10**5, codes=256, depth=4, shape=(2, 20), refreshes=20, filters=100,
            inserts=100, insert_into=10**6, repeats=7,
        ),
        model=_model_bars.Sizes(
            items=2 * 10**7, codes=2048, depth=8, shape=(2, 70), histories=5, repeats=5,
            beams=(10, 70, 512), history_items=20, preset_width=256,
        ),
        tries=10_000,
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    preset: Literal["smoke", "bars"] = "bars"
    """Sizes: "smoke" takes a minute, "bars" up to an hour."""
    json: Path | None = None
    """File to write."""
    static: Path | None = None
    """Checkout of STATIC; without it nothing is compared."""
    data: Path | None = None
    """Folder with office/index.json and beauty/index.json."""
    only: tuple[str, ...] = ()
    """Numbers of bars, such as 1 2; all if left out."""
    resume: bool = False
    """Keep the points that the file holds."""


def measure(options: Options, record: Record, static: Static | None) -> None:
    """Measure the bars one after the other."""
    sizes = PRESETS[options.preset]
    bars: dict[str, Callable[[], Any]] = {
        "1": lambda: _decoding_bars.grid(record, sizes.decoding, static),
        "2": lambda: _decoding_bars.skew(record, sizes.decoding, static),
        "3": lambda: _index_bars.size(record, sizes.index, static, options.data),
        "4": lambda: _index_bars.build(record, sizes.index, static),
        "5": lambda: _index_bars.big(record, sizes.index),
        "6": lambda: _soak(record, sizes.tries, static),
        "7": lambda: _changes(record, sizes.live),
        "8": lambda: _model_bars.passes(record, sizes.model, options.data),
        "9": lambda: _decoding_bars.filters(record, sizes.decoding),
        "10": lambda: _model_bars.history_bytes(record, sizes.model),
    }
    unknown = set(options.only) - bars.keys()
    if unknown:
        raise GenretError(f"only: found {sorted(unknown)}, expected some of {[*bars]}")
    for number, run in bars.items():
        if not options.only or number in options.only:
            run()


def _soak(record: Record, tries: int, static: Static | None) -> None:
    _answer_bars.soak(record, tries)
    _answer_bars.static_cases(record, static)


def _changes(record: Record, sizes: _live_bars.Sizes) -> None:
    _live_bars.recompilations(record, sizes)
    _live_bars.insertion(record, sizes)


def show(document: dict[str, Any], console: Console) -> None:
    """Print the bars."""
    table = Table("bar", "measured", "asked for", "", title="Constraint index and search")
    for name, value in document["bars"].items():
        judged = document["verdicts"].get(name, {})
        said = f"{value:.4g}" if isinstance(value, float) else str(value)
        asked = ""
        if judged.get("bar") is not None:
            asked = f"{'at most' if judged['at_most'] else 'at least'} {judged['bar']:.4g}"
        verdict = {True: "met", False: "MISSED", None: ""}[judged.get("met")]
        table.add_row(name, said, asked, verdict)
    console.print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    options = tyro.cli(Options, args=argv, prog="python -m benchmarks.constraint")
    console = Console(highlight=False)
    try:
        static = None if options.static is None else load(options.static)
        heading = {"preset": options.preset, "environment": environment()}
        record = Record(options.json, heading, resume=options.resume, say=console.print)
        measure(options, record, static)
    except GenretError as e:
        print(f"benchmarks.constraint: error: {e}", file=sys.stderr)
        return 2
    show(record.document, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
