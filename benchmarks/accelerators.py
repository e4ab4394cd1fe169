"""What a search costs on accelerators by their compilers' own count, on a machine that has none.

    python -m benchmarks accelerators --chips v6e,v7x,v5e,h100 --static CHECKOUT --json FILE --page FILE

Each method is first run on the CPU and its answers are held against brute force; then its whole search is
compiled for each chip, in a process of its own. For a TPU the figures are cycles of libtpu's static
schedule, by kind of operation, for a GPU the kernels that a call launches. They are the compiler's
schedule and not a time, and they are the same on every machine, so a change that costs cycles is seen
on the day it is made: a test compiles the main points again and compares.
"""

import dataclasses
import functools
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
from rich.console import Console

from benchmarks import model_programs
from benchmarks.bars import Bar
from benchmarks.cycles import CHIPS, TPU_TOPOLOGIES, compile_for
from benchmarks.hlo import KINDS
from benchmarks.methods import EVERY, METHODS, Ours
from benchmarks.methods.static_code import NAME as RIVAL
from benchmarks.methods.static_code import available, use
from benchmarks.process import Figures
from benchmarks.program import Program
from benchmarks.record import RESULTS, Points, environment
from benchmarks.tables import Columns, Table
from benchmarks.workload import Point, Workload, prepare
from genret.errors import GenretError

LABEL = "the compiler's schedule, not a time"
BUDGET = RESULTS / "accelerators.json"
OURS, STYLE = "genret", "static-style"

BASE = Point(items=10**6, methods=(OURS, STYLE, RIVAL))
MAIN = dataclasses.replace(BASE, methods=(OURS, STYLE, RIVAL, "unconstrained"))
GRID = tuple(
    MAIN if (items, codes) == (10**6, 2048) else dataclasses.replace(BASE, items=items, codes=codes)
    for codes in (2048, 256, 8192)
    for items in (10**6, 10**5, 10**7)
)
WIDE = dataclasses.replace(BASE, batch=16, methods=(OURS, STYLE))
ZIPF = dataclasses.replace(BASE, kind="zipf")
FREE = dataclasses.replace(BASE, batch=32, methods=(OURS,))
RULED = dataclasses.replace(FREE, filters=32, seen=100)
SMOKE = dataclasses.replace(BASE, items=2000, codes=64, depth=3, beams=8)
ON_DEVICE = tuple(name for name, method in METHODS.items() if not method.on_host)
SIZES = {
    "smoke": (SMOKE,),
    "main": (MAIN,),
    "aot": tuple(Point(items=items, methods=ON_DEVICE) for items in (10**5, 2 * 10**6)),
    "bars": (*GRID[:1], WIDE, ZIPF, FREE, RULED, *GRID[1:]),
}
TPU_COLUMNS: Columns = {
    "cycles": ("cycles", "{:,}"),
    **{kind: (f"kinds.{kind}", "{:,}") for kind in KINDS},
    "SparseCore": ("sparse_core_calls", "{:,}"),
    "operations": ("operations", "{:,}"),
    "HBM": ("hbm_bytes", "{:,}"),
    "VMEM": ("vmem_bytes", "{:,}"),
    "temporaries": ("temporary_bytes", "{:,}"),
}
GPU_COLUMNS: Columns = {
    "kernels": ("kernels", "{:,}"),
    "copies": ("copies", "{:,}"),
    "graphs": ("graphs", "{:,}"),
    "bytes": ("bytes", "{:,}"),
    "temporaries": ("temporary_bytes", "{:,}"),
    "registers": ("most_registers", "{:,}"),
    "spills": ("spill_bytes", "{:,}"),
}


def checked(name: str, work: Workload) -> tuple[Figures, Callable[..., Figures]]:
    """Run a method on the CPU and judge its answers; return this, and what compiles it for a chip."""
    found, _, _ = prepare(name, work)
    kept = {figure: found[figure] for figure in ("error", "of_exact", "valid") if figure in found}
    if name == OURS:
        kept = {"wrong_answers": int("error" in found or not _items_are_right(work))} | kept

    def compiled(chip: str, python: str) -> Figures:
        platform = "tpu" if chip in TPU_TOPOLOGIES else "gpu"
        method = work.built(EVERY[name], platform)
        levels, beams = work.asked[2:]

        def search(model: Any, history: Any, method: Any) -> Any:
            if isinstance(method, Ours):  # the whole answer, with its items
                return method.answer(model, history, beams)
            return method.run(model, history, levels, beams)

        arguments = work.model, jnp.asarray(work.history), method
        return compile_for(chip, search, *arguments, python=python)

    return kept, compiled


def _items_are_right(work: Workload) -> bool:
    """Say whether our answer has the items of brute force, beside their codes and scores."""
    try:
        work.ours()
    except GenretError:
        return False
    return True


def points(
    sizes: Sequence[Point],
    chips: Sequence[str],
    python: str = sys.executable,
    methods: Sequence[str] = (),
) -> Points:
    """Return what compiles the methods of each size for each chip; a method and chip is a point."""
    # Points that need the same come one after the other; what was prepared before is dropped.
    works = functools.lru_cache(1)(Workload.of)
    ready = functools.lru_cache(1)(lambda method, size: checked(method, works(size)))

    def measure(chip: str, method: str, size: Point) -> Figures:
        answers, compiled = ready(method, size)
        about = {"chip": chip, "method": method, "size": size.sizes(), **answers}
        return about if "error" in about else about | compiled(chip, python)

    return {
        f"{chip} {method} {size.size}": functools.partial(measure, chip, method, size)
        for size in sizes
        for method in methods or size.methods
        for chip in chips
        if method in size.methods and (method != RIVAL or available())
    }


def figure(document: Any, method: str, size: Point, chip: str = "v6e", name: str = "cycles") -> Any:
    """Return a figure of a method; None: it was not counted."""
    return document["points"].get(f"{chip} {method} {size.size}", {}).get(name)


def over(size: Point, rival: str = RIVAL, base: Point | None = None) -> Callable[..., Any]:
    """Return what divides our cycles by those of a rival, or by ours at another size."""

    def value(document: Any) -> float | None:
        own, theirs = figure(document, OURS, size), figure(document, rival, base or size)
        return own / theirs if own and theirs else None

    return value


def grid(how: Callable[[list[float]], float]) -> Callable[..., Any]:
    """Return what makes one figure of our cycles over the rival's at all sizes of the grid."""

    def value(document: Any) -> float | None:
        if not all(f"v6e {RIVAL} {size.size}" in document["points"] for size in GRID):
            return None  # some of the sizes say nothing of the others
        # The compiler aborts on the rival's program of one size; its record says so.
        found = [over(size)(document) for size in GRID if figure(document, RIVAL, size)]
        return None if None in found or not found else how(found)

    return value


def wrong(document: Any) -> int | None:
    """Count wrong answers; the same search is compiled for several chips and was checked once."""
    points = [p for p in document["points"].values() if "wrong_answers" in p]
    return sum({str(p["size"]): p["wrong_answers"] for p in points}.values()) if points else None


BARS = [
    Bar(name, value, limit, at_most=True)
    for name, value, limit in (
        ("v6e_main_over_static", over(MAIN), 1 / 3),
        ("v6e_geomean_over_static", grid(statistics.geometric_mean), 1 / 2),
        ("v6e_worst_over_static", grid(max), 0.7),
        ("v6e_b16_over_static_style", over(WIDE, STYLE), 1 / 2),
        ("v6e_zipf_over_uniform", over(ZIPF, OURS, MAIN), 1.2),
        ("v6e_rules_over_none", over(RULED, OURS, FREE), 1.3),
        ("h100_kernels", lambda d: figure(d, OURS, MAIN, "h100", "kernels"), 36),
        ("h100_spills", lambda d: figure(d, OURS, MAIN, "h100", "spill_bytes"), 0),
        ("wrong_answers", wrong, 0),
    )
]
"""Ratios of cycles of a v6e, kernels of an H100, and wrong answers."""


def over_budget(
    now: Mapping[str, Any], budget: Mapping[str, Any], slack: float = 0.03
) -> list[str]:
    """Say where the figures of a point are worse than its budget by more than a share.

    >>> over_budget({"cycles": 104, "kernels": None}, {"cycles": 100, "hbm_bytes": 7})
    ['cycles: found 104, expected at most 100 and 3%']
    """
    worse = []
    for name in ("cycles", "hbm_bytes", "vmem_bytes", "kernels", "copies", "spill_bytes"):
        own, most = now.get(name), budget.get(name)
        if own is not None and most is not None and own > math.ceil(most * (1 + slack)):
            worse.append(f"{name}: found {own}, expected at most {most} and {slack:.0%}")
    return worse


def tables(document: Mapping[str, Any]) -> list[Table]:
    """Return the table of each chip; what did not compile says why."""
    points, found = document["points"], []
    for chip in dict.fromkeys(point["chip"] for point in points.values() if "chip" in point):
        rows = {
            key.removeprefix(f"{chip} ").replace(" L=8", "").replace(" M=70", ""): point
            for key, point in points.items()
            if point.get("chip") == chip
        }
        columns = TPU_COLUMNS if chip in TPU_TOPOLOGIES else GPU_COLUMNS
        if document.get("preset") == "models":
            columns = model_programs.COLUMNS
        found.append(Table.of(f"{chip}: {LABEL}", columns, rows, "method and point"))
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Accelerators(Program):
    """Count what searches cost on accelerators that need not be there."""

    name: ClassVar[str] = "benchmarks.accelerators"
    title: ClassVar[str] = f"Accelerators: {LABEL}"
    how: ClassVar[str] = (
        "Cycles are those of the TPU compiler's static schedule, times the rounds of loops; kernels and "
        "copies are what one call launches on a GPU. Nothing was run on such a chip: these are no times. "
        "The answers were checked on the CPU first."
    )
    bars: ClassVar = BARS
    small: ClassVar = {"preset": "smoke"}

    preset: Literal["smoke", "main", "bars", "aot", "models"] = "bars"
    """"main" is the point of the README, "bars" takes hours on two cores, "aot" has all methods, "models" a
    model with its search, prefill and steps apart, for TPUs."""
    chips: str = "v6e,v7x,v5e,h100"
    """Chips, from v5e, v6e, v7x, a100, h100, b200."""
    methods: tuple[str, ...] = ()
    """Methods; all of each point if left out."""
    static: Path | None = None
    """Checkout of STATIC (github.com/youtube/static-constraint-decoding), compiled as well."""
    gpu_python: str = sys.executable
    """Python of an environment with jax[cuda12] and flatbuffers, if it is not this one."""

    def points(self) -> Points:
        """Return a point for each chip, method and size of the preset."""
        use(self.static)
        chips = [chip for chip in self.chips.split(",") if chip]
        unknown = [chip for chip in chips if chip not in CHIPS]
        if unknown or not chips:
            raise GenretError(f"chips: found {unknown or 'none'}, expected some of {[*CHIPS]}")
        if self.preset == "models":
            return model_programs.points([chip for chip in chips if chip in TPU_TOPOLOGIES])
        return points(SIZES[self.preset], chips, self.gpu_python, self.methods)

    def heading(self) -> Figures:
        """Name the preset, and say that the figures are no times."""
        return {"preset": self.preset, "figures": LABEL, "environment": environment()}

    def tables(self, document: Figures) -> list[Table]:
        """Return the tables of the figures."""
        return tables(document)

    def main(self, console: Console) -> int:
        """Count. What does not compile is a line that says so, and no failure."""
        self.measured(console)
        return 0
