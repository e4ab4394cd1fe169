"""Bars 1 to 5 and 9: decoding with given logits beside STATIC, skewed codes, bytes, builds, filters."""

import dataclasses
import functools
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.draws import GivenLogits, draw_codes, floor, given_logits, real_codes
from benchmarks.draws import tokenized_codes as tokenized
from benchmarks.methods.static_code import Static
from benchmarks.oracle import Catalog, check_answer, check_near, expected_of, given
from benchmarks.record import Figures, available_gib, peak_gib
from benchmarks.timing import in_own_process, interleave
from benchmarks.workload import CodeSet, Point, Search, Workload, timed
from genret import ItemFilter, TrieIndex, beam_search
from genret.errors import GenretError
from genret.index import FilterStack
from genret.typing import Codes

Points = dict[str, Callable[[], Figures]]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of the engine's bars."""

    items: tuple[int, ...]  # |C| of the grid
    codes: tuple[int, ...]  # V of the grid
    shapes: tuple[tuple[int, int], ...]  # (B, M) of the grid
    depth: int  # L
    repeats: int  # rounds of a point
    skewed: tuple[int, int]  # (|C|, V) of the skewed and the filters' code sets
    filter_batch: tuple[int, int]  # (B, M) under filters, a filter for each request
    index: tuple[int, int]  # (|C|, V) of the index that is built and measured
    builds: int  # rounds of builds
    tokenized: int  # |C| of the codes that our tokenizer makes
    big: int  # |C| of the large index
    small: int  # |C| of the index that its steps are compared with
    free_gib: float  # free memory without which the large index is not tried

    def point(self, items: int, codes: int, shape: tuple[int, int], kind: Any = "uniform") -> Point:
        """Return the point of a code set and a shape (B, M)."""
        batch, beams = shape
        return Point(
            items=items, codes=codes, depth=self.depth, batch=batch, beams=beams, kind=kind
        )


def searches(work: Workload, static: Static | None) -> dict[str, Search]:
    """Return our search and, with a checkout, that of STATIC."""
    theirs = {} if static is None else {"static": lambda: work.theirs(static)}
    return {"ours": work.ours, **theirs}


def check(work: Workload, static: Static | None) -> Figures:
    """Refuse an answer of ours that is not the exact one; count what is wrong with STATIC's."""
    work.check(work.ours())
    if static is None:
        return {}
    answers = np.asarray(work.theirs(static))
    invalid = int((~work.catalog.holds(answers)).sum())
    return {"static_invalid": invalid, "static_of_exact": work.of_exact(answers)}


def grid(sizes: Sizes, static: Static | None) -> Points:
    """Bar 1: search loops over the grid of |C|, V and (B, M), beside STATIC and the floor."""
    # The code set of the points that follow each other; the one before is dropped.
    shared = functools.lru_cache(maxsize=1)(CodeSet.of_sizes)

    def measure(point: Point) -> Figures:
        work = Workload.of(point, codes=shared(point.items, point.codes, point.depth))
        functions = searches(work, static) | {
            "floor": lambda: floor(work.model, work.history),
            "legal": lambda: work.ours(normalize="legal"),
        }
        times = interleave(functions, sizes.repeats)
        exact = [found.items(point.beams) for found in work.search(legal=True)]
        check_near(functions["legal"](), exact)
        ms = {name: own["ms"] for name, own in times.items()}
        figures: Figures = {**times, **check(work, static)}
        for name, over in (("ours", "over_floor"), ("legal", "legal_over_floor")):
            figures[over] = ms[name] / ms["floor"]
        if static is not None:
            figures["speedup"] = ms["static"] / ms["ours"]
            figures["legal_speedup"] = ms["static"] / ms["legal"]
            figures["static_over_floor"] = ms["static"] / ms["floor"]
        return figures

    return {
        f"1 grid: |C|={items} V={codes} B={shape[0]} M={shape[1]}": functools.partial(
            measure, sizes.point(items, codes, shape)
        )
        for items in sizes.items
        for codes in sizes.codes
        for shape in sizes.shapes
    }


def skew(sizes: Sizes, static: Static | None) -> Points:
    """Bar 2: Zipf(1.0) codes beside uniform ones."""
    items, codes = sizes.skewed
    shared = functools.cache(CodeSet.of_sizes)

    def measure(shape: tuple[int, int]) -> Figures:
        zipf, uniform = (
            Workload.of(
                sizes.point(items, codes, shape, kind),
                codes=shared(items, codes, sizes.depth, kind),
            )
            for kind in ("zipf", "uniform")
        )
        times = interleave(searches(zipf, static) | {"uniform": uniform.ours}, sizes.repeats)
        figures: Figures = {**times, **check(zipf, static)}
        check(uniform, None)
        figures["over_uniform"] = times["ours"]["ms"] / times["uniform"]["ms"]
        if static is not None:
            figures["speedup"] = times["static"]["ms"] / times["ours"]["ms"]
        return figures

    return {
        f"2 zipf: |C|={items} V={codes} B={shape[0]} M={shape[1]}": functools.partial(
            measure, shape
        )
        for shape in sizes.shapes
    }


def filters(sizes: Sizes) -> Points:
    """Bar 9: a filter for each request of a batch, against none."""
    (items, num_codes), (batch, beams) = sizes.skewed, sizes.filter_batch

    def measure() -> Figures:
        work = Workload.of(sizes.point(items, num_codes, sizes.filter_batch))
        rng = np.random.default_rng(9)
        # From nearly nothing to nearly everything: a sale, a category, what is in stock.
        masks = [rng.random(items) < share for share in np.geomspace(0.001, 0.95, batch)]
        index = work.codes.index
        stack = FilterStack.of(index, [ItemFilter.from_mask(index, mask) for mask in masks])
        chosen = rng.permutation(batch).astype(np.int32)
        seen = rng.integers(0, items, (batch, 50)).astype(np.int32)
        functions: dict[str, Search] = {
            "none": work.ours,
            "filters": lambda: work.ours(filters=stack, filter_of=chosen),
            "seen": lambda: work.ours(exclude=seen),
        }
        times = interleave(functions, sizes.repeats)
        work.check(work.ours())
        allowed = {
            "filters": [masks[number] for number in chosen],
            "seen": [~np.isin(np.arange(items), those) for those in seen],
        }
        figures: Figures = {**times}
        for name, each in allowed.items():
            exact = expected_of(work.model, work.history, work.catalog.codes, beams, each)
            check_answer(functions[name](), exact, work.catalog.codes)
            figures[f"{name}_over_none"] = times[name]["ms"] / times["none"]["ms"]
        return figures

    return {f"9 filters: |C|={items} V={num_codes} B={batch} M={beams}": measure}


def size(sizes: Sizes, static: Static | None, data: Path | None) -> Points:
    """Bar 3: bytes of both indices, on uniform and on real codes."""
    items, codes = sizes.index

    def measure(draw: Callable[[], Codes], num_codes: int) -> Figures:
        catalog = Catalog.of(draw())
        per_level = (num_codes,) * catalog.codes.shape[1]
        ours = TrieIndex.from_codes(catalog.codes, codes_per_level=per_level)
        figures = {"items": len(catalog.codes), "bytes": ours.nbytes, "nodes": [*ours.num_nodes]}
        if static is not None:
            figures["static_bytes"] = static.index(catalog.codes, num_codes).nbytes
            figures["over_static"] = figures["bytes"] / figures["static_bytes"]
        return figures

    sets: dict[str, tuple[Callable[[], Codes], int]] = {
        f"uniform |C|={items}": (lambda: draw_codes(items, (codes,) * sizes.depth), codes),
        "office": (lambda: real_codes(data, "office"), 256),
        "beauty": (lambda: real_codes(data, "beauty"), 256),
        f"rq_kmeans |C|={sizes.tokenized}": (lambda: tokenized(sizes.tokenized), 256),
    }
    return {f"3 bytes: {name}": functools.partial(measure, *own) for name, own in sets.items()}


def build(sizes: Sizes, static: Static | None) -> Points:
    """Bar 4: from codes to an index on the device; from unsorted ones, sorting included."""
    items, codes = sizes.index

    def measure() -> Figures:
        per_level = (codes,) * sizes.depth
        unsorted = draw_codes(items, per_level)
        in_order = Catalog.of(unsorted).codes
        functions: dict[str, Search] = {
            "sorted": lambda: TrieIndex.from_codes(in_order, codes_per_level=per_level),
            "unsorted": lambda: TrieIndex.from_codes(unsorted, codes_per_level=per_level),
        }
        if static is not None:
            sort = lambda: unsorted[np.lexsort(unsorted.T[::-1])]  # noqa: E731
            functions["static_sorted"] = lambda: static.index(in_order, codes).arrays
            functions["static_unsorted"] = lambda: static.index(sort(), codes).arrays
        figures: Figures = interleave(functions, sizes.builds, warm=1)
        if static is not None:
            for kind in ("sorted", "unsorted"):
                ratio = figures[kind]["ms"] / figures[f"static_{kind}"]["ms"]
                figures[f"{kind}_over_static"] = ratio
        return figures

    return {f"4 build: |C|={items} V={codes}": measure}


def big(sizes: Sizes) -> Points:
    """Bar 5: 1e8 codes, in a process of its own whose memory is measured."""
    codes = sizes.index[1]

    def measure() -> Figures:
        free = available_gib()
        if free < sizes.free_gib:
            raise GenretError(f"skipped: {free:.1f} GiB are free, expected {sizes.free_gib}")
        try:
            return in_own_process(measure_big, sizes)
        except BrokenProcessPool:
            raise GenretError("big: the process was killed (out of memory?)") from None

    return {f"5 big: |C|={sizes.big} V={codes}": measure}


def measure_big(sizes: Sizes) -> Figures:
    """Build an index of very many codes and search it, beside a small one."""
    batch, beams, codes = 2, 70, sizes.index[1]
    per_level = (codes,) * sizes.depth
    figures: Figures = {"imports_gib": peak_gib()}
    rng = np.random.default_rng(5)
    # As they may lie on disk: 16 bits a code, in no order.
    table = np.empty((sizes.big, sizes.depth), np.uint16)
    for begin in range(0, sizes.big, 1 << 20):
        part = table[begin : begin + (1 << 20)]
        part[:] = rng.integers(0, codes, part.shape, dtype=np.uint16)
    figures["with_input_gib"] = peak_gib()
    with timed(figures, "build_s"):
        index = TrieIndex.from_codes(table, codes_per_level=per_level)
        jax.block_until_ready(index)
    figures |= {"build_gib": peak_gib(), "bytes": index.nbytes}
    few = draw_codes(sizes.small, per_level, seed=6)
    small = TrieIndex.from_codes(few, codes_per_level=per_level)
    model, history = given_logits(batch, beams, per_level, seed=7)
    search = functools.partial(beam_search, model, history, beams=beams)
    times = interleave(
        {"big": lambda: search(index=index), "small": lambda: search(index=small)}, sizes.repeats
    )
    figures["decode_gib"] = peak_gib()
    check_big(search(index=index), model, history, table, codes, beams)
    return {**times, "step_ratio": times["big"]["ms"] / times["small"]["ms"], **figures}


def check_big(
    result: Any, model: GivenLogits, history: np.ndarray, table: Codes, codes: int, beams: int
) -> None:
    """Refuse an answer that is not the exact one, without sorting all codes.

    For the first two levels one item of each pair of codes stands for all; behind them, the items
    below the pairs that win are all that a search can meet.
    """
    pair = table[:, 0].astype(np.int32) * codes + table[:, 1]
    one_of = np.full(codes * codes, -1, np.int32)
    one_of[pair] = np.arange(len(table), dtype=np.int32)
    one_of = one_of[one_of >= 0]
    pairs = Catalog.of(table[one_of].astype(np.int32))
    wins = np.zeros(codes * codes, bool)
    for request in range(len(history)):
        best = pairs.search(given(model, history, request), beams, levels=2)
        first, second = pairs.codes[best.lo, :2].T
        wins[first * codes + second] = True
    kept = wins[pair]
    kept[one_of] = True
    position = np.flatnonzero(kept)
    some = expected_of(model, history, table[kept].astype(np.int32), beams)
    check_answer(result, [(position[rows], scores) for rows, scores in some], table)
