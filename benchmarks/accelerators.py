"""What a search costs on accelerators by their compilers' own count, on a machine that has none.

    python -m benchmarks accelerators --chips v6e,v7x,v5e,h100 --static CHECKOUT --json FILE --page FILE

Each method is first run on the CPU and its answers are held against brute force; then its whole search is
compiled for each chip, in a process of its own. For a TPU the figures are cycles of libtpu's static
schedule, by kind of operation, for a GPU the kernels that a call launches. They are the compiler's
schedule and not a time, and they are the same on every machine, so a change that costs cycles is seen
on the day it is made: a test compiles the main points again and compares.
"""

import dataclasses
import gc
import math
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.cycles import TPU_TOPOLOGIES, Figures, compile_for
from benchmarks.draws import Kind
from benchmarks.hlo import KINDS
from benchmarks.launches import GPUS, compile_for_gpu
from benchmarks.methods import METHODS
from benchmarks.methods.static_code import NAME as RIVAL
from benchmarks.methods.static_code import Static, load
from benchmarks.oracle import check_answer, expected_of
from benchmarks.page import write_tables
from benchmarks.record import ROOT, Record, environment, judge, sentence
from benchmarks.workload import Point, Workload, decode, prepare, prepare_static
from genret import ItemFilter, TrieIndex, beam_search
from genret.errors import GenretError
from genret.index import FilterStack

LABEL = "the compiler's schedule, not a time"
BUDGET = ROOT / "benchmarks" / "results" / "accelerators.json"
HOW = (
    "Cycles are those of the TPU compiler's static schedule, times the rounds of loops; kernels and "
    "copies are what one call launches on a GPU. Nothing was run on such a chip: these are no times. "
    "The answers were checked on the CPU first."
)
OURS, STYLE = "genret", "static-style"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """A size at which programs are compiled.

    Attributes:
      items: |C|.
      codes: V.
      batch: B.
      depth: L.
      beams: M.
      kind: how the semantic IDs are drawn.
      filters: sets of allowed items in the batch, half of all items each; 0: none.
      seen: items that each request must not be answered; 0: none.
      methods: what is compiled; STATIC's own code only where a checkout is given.
    """

    items: int
    codes: int = 2048
    batch: int = 2
    depth: int = 8
    beams: int = 70
    kind: Kind = "uniform"
    filters: int = 0
    seen: int = 0
    methods: tuple[str, ...] = (OURS, STYLE, RIVAL)

    @property
    def key(self) -> str:
        """Name of the point."""
        more = f" filters={self.filters} seen={self.seen}" if self.filters or self.seen else ""
        return (
            f"|C|={self.items} V={self.codes} L={self.depth} B={self.batch} M={self.beams} "
            f"{self.kind}{more}"
        )


MAIN = Size(items=10**6, methods=(OURS, STYLE, RIVAL, "unconstrained"))
GRID = tuple(
    MAIN if (items, codes) == (10**6, 2048) else Size(items=items, codes=codes)
    for codes in (2048, 256, 8192)
    for items in (10**6, 10**5, 10**7)
)
WIDE = Size(items=10**6, batch=16, methods=(OURS, STYLE))
ZIPF = Size(items=10**6, kind="zipf", methods=(OURS, STYLE, RIVAL))
FREE = Size(items=10**6, batch=32, methods=(OURS,))
RULED = dataclasses.replace(FREE, filters=32, seen=100)
SMOKE = Size(items=2000, codes=64, depth=3, beams=8)
SIZES = {
    "smoke": (SMOKE,),
    "main": (MAIN,),
    "aot": tuple(
        Size(items=items, methods=tuple(n for n, method in METHODS.items() if not method.on_host))
        for items in (10**5, 2 * 10**6)
    ),
    "bars": (*GRID[:1], WIDE, ZIPF, FREE, RULED, *GRID[1:]),
}


def laid_out(index: TrieIndex, platform: str) -> TrieIndex:
    """Return the index in the layout that its search uses on a platform."""
    return index.to("tpu" if platform == "tpu" else "gpu")


class Programs:
    """The searches of a size, each checked on the CPU before anything else.

    Args:
      size: the size.
      static: STATIC's code; None: it is left out.
    """

    def __init__(self, size: Size, static: Static | None) -> None:
        self.size, self.static = size, static
        shape = {n: getattr(size, n) for n in ("items", "codes", "depth", "batch", "beams", "kind")}
        self.work = Workload.of(Point(**shape))

    def checked(self, method: str) -> tuple[Figures, Callable[[str, Callable[..., Any]], Figures]]:
        """Run a method on the CPU; return what its answers are, and what compiles it.

        Returns:
          ``wrong_answers`` of the batch's requests (of a method that is not exact, ``of_exact``) or
          ``error``; and a function of a platform and a compiler such as :func:`compile_for`.
        """
        work, beams = self.work, self.size.beams
        if method == OURS:
            return self._ours()
        if method == RIVAL:
            assert self.static is not None
            found, _ = prepare_static(self.static, work)
            index = (
                None if "error" in found else self.static.index(work.catalog.codes, work.sizes[0])
            )

            def search(arrays: Any, model: Any, history: Any) -> Any:
                assert self.static is not None
                assert index is not None
                own = dataclasses.replace(index, arrays=arrays)
                return self.static.decode(model, history, own, beams)

            arguments = (index and index.arrays, work.model, jnp.asarray(work.history))
        else:
            found, built, _ = prepare(method, work)
            search = partial(decode, levels=self.size.depth, beams=beams)  # type: ignore[assignment]
            arguments = (built, work.model, jnp.asarray(work.history))
        kept = {name: found[name] for name in ("error", "of_exact", "valid") if name in found}
        return kept, lambda platform, compiler: compiler(search, *arguments)

    def _ours(self) -> tuple[Figures, Callable[[str, Callable[..., Any]], Figures]]:
        work, size = self.work, self.size
        codes = work.catalog.codes
        index = TrieIndex.from_codes(codes, codes_per_level=work.sizes)
        rng = np.random.default_rng(9)
        masks = [rng.random(size.items) < 0.5 for _ in range(size.filters)]
        filter_of = jnp.arange(size.batch, dtype=jnp.int32) % max(1, size.filters)
        seen = rng.integers(0, size.items, (size.batch, size.seen)).astype(np.int32)

        def arguments(index: TrieIndex) -> tuple[Any, ...]:
            rules: dict[str, Any] = {}
            if masks:
                filters = [ItemFilter.from_mask(index, mask) for mask in masks]
                rules |= {"filters": FilterStack.of(index, filters), "filter_of": filter_of}
            if size.seen:
                rules["exclude"] = jnp.asarray(seen)
            return work.model, jnp.asarray(work.history), index, rules

        def search(model: Any, history: Any, index: TrieIndex, rules: Mapping[str, Any]) -> Any:
            return beam_search(model, history, index, beams=size.beams, **rules)

        result = jax.tree.map(np.asarray, search(*arguments(index)))
        allowed = None
        if masks or size.seen:
            allowed = [masks[n].copy() if masks else np.ones(size.items, bool) for n in filter_of]
            for mask, those in zip(allowed, seen, strict=True):
                mask[those] = False
        wrong = 0
        exact = expected_of(work.model, np.asarray(work.history), codes, size.beams, allowed)
        for request, answer in enumerate(exact):
            one = jax.tree.map(lambda x, b=request: x[b : b + 1], result)
            try:
                check_answer(one, [answer], codes)
            except GenretError:
                wrong += 1

        def compiled(platform: str, compiler: Callable[..., Any]) -> Figures:
            return compiler(search, *arguments(laid_out(index, platform)))

        return {"wrong_answers": wrong}, compiled


def measure(
    sizes: tuple[Size, ...],
    chips: tuple[str, ...],
    record: Record,
    static: Static | None,
    python: str = sys.executable,
    methods: tuple[str, ...] = (),
    only: tuple[str, ...] = (),
) -> None:
    """Compile the methods of each size for each chip; a method and chip is a point of the record."""
    for size in sizes:
        if only and not any(part in size.key for part in only):
            continue
        programs = None
        for method in size.methods:
            if (method == RIVAL and static is None) or (methods and method not in methods):
                continue
            keys = {chip: f"{chip} {method} {size.key}" for chip in chips}
            if all(record.has(key) for key in keys.values()):
                continue
            programs = programs or Programs(size, static)
            answers, compiled = programs.checked(method)
            for chip, key in keys.items():
                about = {
                    "chip": chip,
                    "method": method,
                    "size": dataclasses.asdict(size),
                    **answers,
                }
                record.point(key, partial(_compiled, chip, python, compiled, about))
        del programs
        gc.collect()
        jax.clear_caches()


def _compiled(chip: str, python: str, compiled: Callable[..., Figures], about: Figures) -> Figures:
    if "error" in about:
        return about
    if chip in TPU_TOPOLOGIES:
        return about | compiled("tpu", partial(compile_for, chip))
    return about | compiled("cuda", partial(compile_for_gpu, chip, python=python))


def bars(document: Mapping[str, Any]) -> dict[str, tuple[Any, float | None]]:
    """Return each bar's value, None where it was not compiled, and what it may be at most."""
    points = document["points"]

    def figure(chip: str, method: str, size: Size, name: str = "cycles") -> Any:
        return points.get(f"{chip} {method} {size.key}", {}).get(name)

    def over(size: Size, rival: str = RIVAL, base: Size | None = None) -> float | None:
        own = figure("v6e", OURS, size)
        theirs = figure("v6e", rival, base or size)
        return own / theirs if own and theirs else None

    grid = [x for x in map(over, GRID) if x is not None]
    whole = len(grid) == len(GRID)  # of some of the points, a mean says nothing of the others
    # The same search is compiled for several chips and was checked once.
    wrong = {str(p["size"]): p["wrong_answers"] for p in points.values() if "wrong_answers" in p}
    return {
        "v6e_main_over_static": (over(MAIN), 1 / 3),
        "v6e_geomean_over_static": (statistics.geometric_mean(grid) if whole else None, 1 / 2),
        "v6e_worst_over_static": (max(grid) if whole else None, 0.7),
        "v6e_b16_over_static_style": (over(WIDE, STYLE), 1 / 2),
        "v6e_zipf_over_uniform": (over(ZIPF, OURS, MAIN), 1.2),
        "v6e_rules_over_none": (over(RULED, OURS, FREE), 1.3),
        "h100_kernels": (figure("h100", OURS, MAIN, "kernels"), 36),
        "h100_spills": (figure("h100", OURS, MAIN, "spill_bytes"), 0),
        "wrong_answers": (sum(wrong.values()), 0),
    }


def judge_bars(record: Record) -> None:
    """Put the bars and how they are met into the record."""
    document = record.document
    found = bars(document)
    document["bars"] = {name: value for name, (value, _) in found.items()}
    document["verdicts"] = {
        name: judge(value, most, at_most=True)
        for name, (value, most) in found.items()
        if value is not None and most is not None
    }
    record.write()


def over_budget(
    now: Mapping[str, Any], budget: Mapping[str, Any], slack: float = 0.03
) -> list[str]:
    """Say where the figures of a point are worse than its budget by more than a share.

    >>> over_budget({"cycles": 104, "kernels": None}, {"cycles": 100, "hbm_bytes": 7})
    ['cycles: found 104, expected at most 100 and 3 %']
    """
    worse = []
    for name in ("cycles", "hbm_bytes", "vmem_bytes", "kernels", "copies", "spill_bytes"):
        own, most = now.get(name), budget.get(name)
        if own is not None and most is not None and own > math.ceil(most * (1 + slack)):
            worse.append(f"{name}: found {own}, expected at most {most} and {slack:.0%}")
    return worse


def cells(chip: str, document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the table of a chip: titles and rows; what did not compile says why."""
    tpu = chip in TPU_TOPOLOGIES
    titles = ["point", "method"]
    titles += (
        ["cycles", *KINDS, "SparseCore", "operations", "HBM", "VMEM", "temporaries"]
        if tpu
        else ["kernels", "copies", "graphs", "bytes", "temporaries", "registers", "spills"]
    )
    names = (
        ["sparse_core_calls", "operations", "hbm_bytes", "vmem_bytes", "temporary_bytes"]
        if tpu
        else [
            "kernels",
            "copies",
            "graphs",
            "bytes",
            "temporary_bytes",
            "most_registers",
            "spill_bytes",
        ]
    )
    rows = []
    for key, point in document["points"].items():
        if point.get("chip") != chip:
            continue
        where = (
            key.removeprefix(f"{chip} {point['method']} ").replace(" L=8", "").replace(" M=70", "")
        )
        if "error" in point:
            rows.append([where, point["method"], point["error"]])
            continue
        values = (
            [point.get("cycles"), *(point.get("kinds", {}).get(k) for k in KINDS)] if tpu else []
        )
        values += [point.get(name) for name in names]
        shown = ["" if v is None else f"{v:,}" for v in values]
        rows.append([where, point["method"], *shown])
    return titles, rows


@dataclasses.dataclass(frozen=True)
class Accelerators:
    """Count what searches cost on accelerators that need not be there."""

    preset: str = "bars"
    """"smoke", "main" (the point of the README), "bars" (hours on two cores) or "aot" (all methods)."""
    chips: str = "v6e,v7x,v5e,h100"
    """Chips, from v5e, v6e, v7x, a100, h100, b200."""
    methods: tuple[str, ...] = ()
    """Methods; all of each point if left out."""
    only: tuple[str, ...] = ()
    """Parts of points' names, such as "V=256": the points with any of them."""
    static: Path | None = None
    """Checkout of STATIC (github.com/youtube/static-constraint-decoding), compiled as well."""
    json: Path | None = None
    """File to write, a point as soon as it is compiled."""
    page: Path | None = None
    """HTML file to write at the end."""
    gpu_python: str = sys.executable
    """Python of an environment with jax[cuda12] and flatbuffers, if it is not this one."""
    resume: bool = False
    """Keep the points that the JSON file holds."""

    def main(self, console: Console) -> int:
        """Run the program."""
        chips = tuple(chip for chip in self.chips.split(",") if chip)
        unknown = [chip for chip in chips if chip not in {*TPU_TOPOLOGIES, *GPUS}]
        if unknown or not chips:
            raise GenretError(
                f"chips: found {unknown or 'none'}, expected some of {[*TPU_TOPOLOGIES, *GPUS]}"
            )
        if self.preset not in SIZES:
            raise GenretError(f"preset: found {self.preset!r}, expected one of {[*SIZES]}")
        static = None if self.static is None else load(self.static)
        heading = {
            "program": "benchmarks.accelerators", "preset": self.preset, "figures": LABEL,
            "environment": environment(),
        }  # fmt: skip
        record = Record(self.json, heading, resume=self.resume, say=console.print)
        measure(SIZES[self.preset], chips, record, static, self.gpu_python, self.methods, self.only)
        judge_bars(record)
        for chip in chips:
            titles, rows = cells(chip, record.document)
            table = Table(*titles, title=f"{chip}: {LABEL}")
            for row in rows:
                table.add_row(*row)
            console.print(table)
        for name, verdict in record.document["verdicts"].items():
            console.print(sentence(name, verdict))
        if self.page is not None:
            write_page(self.page, record.document)
            console.print(f"page: {self.page}")
        return 0


def write_page(path: Path, document: Mapping[str, Any]) -> None:
    """Write the page of a run: a table for each chip."""
    chips = dict.fromkeys(point["chip"] for point in document["points"].values())
    tables = {f"{chip}: {LABEL}": cells(chip, document) for chip in chips}
    write_tables(path, f"Accelerators: {LABEL}", document["environment"], tables, HOW)
