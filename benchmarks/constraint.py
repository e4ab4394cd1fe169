"""The constraint index and the search, beside STATIC in one process: the bars of the engine's core.

    python -m benchmarks.constraint --preset bars --static CHECKOUT --data DATA --json FILE

Every timed answer is compared with the exact one of a NumPy search. Points are written as they come;
``--resume`` goes on where a run was cut off. The bars are computed from the points (`benchmarks.bars`).
"""

import dataclasses
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from benchmarks import engine_points, live_points, model_points, random_tries
from benchmarks.bars import CONSTRAINT, evaluate
from benchmarks.methods.static_code import Static, load
from benchmarks.program import Table, make_main
from benchmarks.record import Figures, Record, environment
from genret.errors import GenretError

Points = dict[str, Callable[[], Figures]]


@dataclasses.dataclass(frozen=True)
class Preset:
    """Sizes of all bars."""

    engine: engine_points.Sizes
    live: live_points.Sizes
    model: model_points.Sizes
    tries: int


PRESETS = {
    "smoke": Preset(
        engine=engine_points.Sizes(
            items=(2000,), codes=(64,), shapes=((2, 5),), depth=3, repeats=3, skewed=(2000, 64),
            filter_batch=(4, 5), index=(5000, 64), builds=2, tokenized=2000, big=20_000,
            small=2000, free_gib=1,
        ),
        live=live_points.Sizes(
            items=2000, codes=64, depth=3, shape=(2, 5), refreshes=2, filters=2, inserts=2,
            insert_into=5000, repeats=3,
        ),
        model=model_points.Sizes(
            items=2000, codes=64, depth=4, shape=(2, 5), histories=2, repeats=3, beams=(2, 8),
            history_items=8, preset_width=32,
        ),
        tries=8,
    ),
    "bars": Preset(
        engine=engine_points.Sizes(
            items=(10**5, 10**6, 10**7), codes=(256, 2048, 8192),
            shapes=((2, 70), (16, 70), (4, 256)), depth=8, repeats=15, skewed=(10**6, 2048),
            filter_batch=(32, 70), index=(10**7, 2048), builds=3, tokenized=10**6, big=10**8,
            small=10**6, free_gib=18,
        ),
        live=live_points.Sizes(
            items=10**5, codes=256, depth=4, shape=(2, 20), refreshes=20, filters=100,
            inserts=100, insert_into=10**6, repeats=7,
        ),
        model=model_points.Sizes(
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
    json: Path | None = None  # File to write.
    static: Path | None = None  # Checkout of STATIC; without it nothing is compared.
    data: Path | None = None  # Folder with office/index.json and beauty/index.json.
    only: tuple[str, ...] = ()  # Numbers of bars, such as 1 2; all if left out.
    resume: bool = False  # Keep the points that the file holds.


def points_of(options: Options, static: Static | None) -> dict[str, Callable[[], Points]]:
    """Return what makes the points of each bar, by the bar's number: what measures each, by its key."""
    sizes = PRESETS[options.preset]
    return {
        "1": lambda: engine_points.grid(sizes.engine, static),
        "2": lambda: engine_points.skew(sizes.engine, static),
        "3": lambda: engine_points.size(sizes.engine, static, options.data),
        "4": lambda: engine_points.build(sizes.engine, static),
        "5": lambda: engine_points.big(sizes.engine),
        "6": lambda: random_tries.points(sizes.tries) | random_tries.static_cases(static),
        "7": lambda: live_points.points(sizes.live),
        "8": lambda: model_points.passes(sizes.model, options.data),
        "9": lambda: engine_points.filters(sizes.engine),
        "10": lambda: model_points.history_bytes(sizes.model),
    }


def measure(options: Options, record: Record, static: Static | None) -> None:
    """Measure the points of the bars one after the other, then evaluate the bars."""
    bars = points_of(options, static)
    unknown = set(options.only) - bars.keys()
    if unknown:
        raise GenretError(f"only: found {sorted(unknown)}, expected some of {[*bars]}")
    for number, points in bars.items():
        if not options.only or number in options.only:
            for key, function in points().items():
                record.point(key, function)
            gc.collect()  # the indices of a bar may be large
    evaluate(record.document, CONSTRAINT)
    record.write()


def show(
    document: dict[str, Any], console: Console, title: str = "Constraint index and search"
) -> None:
    """Print the bars."""
    rows = []
    for name, value in document["bars"].items():
        judged = document["verdicts"].get(name, {})
        said = f"{value:.4g}" if isinstance(value, float) else str(value)
        asked = ""
        if judged.get("bar") is not None:
            asked = f"{'at most' if judged['at_most'] else 'at least'} {judged['bar']:.4g}"
        rows.append((name, said, asked, {True: "met", False: "MISSED"}.get(judged.get("met"), "")))
    columns = ("bar", "measured", "asked for", "")
    Table(title, columns, rows).show(console)


def run(options: Options, console: Console) -> None:
    """Measure and show."""
    static = None if options.static is None else load(options.static)
    heading = {"preset": options.preset, "environment": environment()}
    record = Record(options.json, heading, resume=options.resume, say=console.print)
    measure(options, record, static)
    show(record.document, console)


main = make_main("benchmarks.constraint", Options, run)

if __name__ == "__main__":
    sys.exit(main())
