"""Bars 1 to 5 and 9: decoding with given logits beside STATIC, skewed codes, bytes, builds, filters."""

import functools
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.draws import draw_codes, floor, real_codes
from benchmarks.draws import tokenized_codes as tokenized
from benchmarks.methods import StaticCode
from benchmarks.methods.static_code import available
from benchmarks.process import Figures, available_gib, in_own_process, peak_gib, timed
from benchmarks.sizes import Points, Sizes
from benchmarks.timing import interleave, with_ratios
from benchmarks.workload import CodeSet, Point, Search, Workload
from genret import ItemFilter, TrieIndex, beam_search
from genret.errors import GenretError
from genret.index import FilterStack
from genret.testing import Answer, GivenLogits, SortedCatalog, check_answer, expected_answers, given
from genret.typing import Codes


def point_of(sizes: Sizes, items: int, codes: int, shape: tuple[int, int], **more: Any) -> Point:
    """Return the point of a code set and a shape (B, M)."""
    batch, beams = shape
    return Point(items=items, codes=codes, depth=sizes.depth, batch=batch, beams=beams, **more)


def searches(work: Workload) -> dict[str, Search]:
    """Return our search and, with a checkout, that of STATIC."""
    return {"ours": work.ours, **({"static": work.theirs} if available() else {})}


def check(work: Workload) -> Figures:
    """Refuse an answer of ours that is not the exact one; count what is wrong with STATIC's."""
    work.check(work.ours())
    return beside_static(work) if available() else {}


def beside_static(work: Workload, rival: StaticCode | None = None) -> Figures:
    """Return the items of STATIC's answer that do not exist, and the share of the exact ones in it."""
    answers = np.asarray(work.theirs(rival))
    invalid = int((~work.catalog.holds(answers)).sum())
    return {"static_invalid": invalid, "static_of_exact": work.judge(answers)["of_exact"]}


def check_near(result: Any, expected: list[Answer]) -> None:
    """Refuse an answer that is not the exact one to within rounding.

    For scores that depend on the order of additions: where two of them are nearly equal, either
    may be first, and what follows from it may differ. At least 95 % of the items must be there.
    """
    found = jax.tree.map(np.asarray, result)
    for request, (items, scores) in enumerate(expected):
        answer = dict(zip(found.items[request].tolist(), found.scores[request], strict=True))
        theirs = np.array([answer.get(item, np.inf) for item in items.tolist()])
        right = int((abs(theirs - scores) < 1e-3).sum())
        if right < 0.95 * len(items) or int(found.valid[request].sum()) != len(items):
            raise GenretError(
                f"answer: request {request}: found {right} of the {len(items)} exact items"
            )


def grid(sizes: Sizes) -> Points:
    """Bar 1: search loops over the grid of |C|, V and (B, M), beside STATIC and the floor."""
    # The code set of the points that follow each other; the one before is dropped.
    shared = functools.lru_cache(maxsize=1)(
        lambda items, codes: CodeSet(point_of(sizes, items, codes, (1, 1)))
    )

    def measure(items: int, codes: int, shape: tuple[int, int]) -> Figures:
        work = Workload.of(point_of(sizes, items, codes, shape), codes=shared(items, codes))
        functions = searches(work) | {
            "floor": lambda: floor(work.model, work.history),
            "legal": lambda: work.ours(normalize="legal"),
        }
        figures = with_ratios(
            interleave(functions, sizes.repeats),
            over_floor=("ours", "floor"), legal_over_floor=("legal", "floor"),
            speedup=("static", "ours"), legal_speedup=("static", "legal"),
            static_over_floor=("static", "floor"),
        )  # fmt: skip
        check_near(functions["legal"](), work.answers(legal=True))
        return figures | check(work)

    return {
        f"1 grid: |C|={items} V={codes} B={shape[0]} M={shape[1]}": functools.partial(
            measure, items, codes, shape
        )
        for items in sizes.items
        for codes in sizes.codes
        for shape in sizes.shapes
    }


def skew(sizes: Sizes) -> Points:
    """Bar 2: Zipf(1.0) codes beside uniform ones."""
    items, codes = sizes.skewed
    shared = functools.cache(lambda kind: CodeSet(point_of(sizes, items, codes, (1, 1), kind=kind)))

    def measure(shape: tuple[int, int]) -> Figures:
        zipf, uniform = (
            Workload.of(point_of(sizes, items, codes, shape, kind=kind), codes=shared(kind))
            for kind in ("zipf", "uniform")
        )
        times = interleave(searches(zipf) | {"uniform": uniform.ours}, sizes.repeats)
        uniform.check(uniform.ours())
        ratios = {"over_uniform": ("ours", "uniform"), "speedup": ("static", "ours")}
        return with_ratios(times, **ratios) | check(zipf)

    return {
        f"2 zipf: |C|={items} V={codes} B={shape[0]} M={shape[1]}": functools.partial(
            measure, shape
        )
        for shape in sizes.shapes
    }


def filters(sizes: Sizes) -> Points:
    """Bar 9: a filter for each request of a batch, against none."""
    (items, codes), (batch, beams) = sizes.skewed, sizes.filter_batch

    def measure() -> Figures:
        work = Workload.of(point_of(sizes, items, codes, sizes.filter_batch))
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
        allowed = {
            "none": [np.ones(items, bool)] * batch,
            "filters": [masks[number] for number in chosen],
            "seen": [~np.isin(np.arange(items), those) for those in seen],
        }
        for name, each in allowed.items():
            exact = expected_answers(work.model, work.history, work.catalog.codes, beams, each)
            check_answer(functions[name](), exact, work.catalog.codes)
        ratios = {"filters_over_none": ("filters", "none"), "seen_over_none": ("seen", "none")}
        return with_ratios(times, **ratios)

    return {f"9 filters: |C|={items} V={codes} B={batch} M={beams}": measure}


def size(sizes: Sizes, data: Path | None) -> Points:
    """Bar 3: bytes of both indices, on uniform and on real codes."""
    items, codes = sizes.index

    def measure(draw: Callable[[], Codes], num_codes: int) -> Figures:
        in_order = SortedCatalog.of(draw()).codes
        per_level = (num_codes,) * in_order.shape[1]
        ours = TrieIndex.from_codes(in_order, codes_per_level=per_level)
        figures = {"items": len(in_order), "bytes": ours.nbytes, "nodes": [*ours.num_nodes]}
        if available():
            figures["static_bytes"] = StaticCode.build(in_order, per_level).bytes
            figures["over_static"] = figures["bytes"] / figures["static_bytes"]
        return figures

    sets: dict[str, tuple[Callable[[], Codes], int]] = {
        f"uniform |C|={items}": (lambda: draw_codes(items, (codes,) * sizes.depth), codes),
        "office": (lambda: real_codes(data, "office"), 256),
        "beauty": (lambda: real_codes(data, "beauty"), 256),
        f"rq_kmeans |C|={sizes.tokenized}": (lambda: tokenized(sizes.tokenized), 256),
    }
    return {f"3 bytes: {name}": functools.partial(measure, *own) for name, own in sets.items()}


def build(sizes: Sizes) -> Points:
    """Bar 4: from codes to an index on the device; from unsorted ones, sorting included."""
    items, codes = sizes.index

    def measure() -> Figures:
        per_level = (codes,) * sizes.depth
        unsorted = draw_codes(items, per_level)
        in_order = SortedCatalog.of(unsorted).codes
        functions: dict[str, Search] = {
            "sorted": lambda: TrieIndex.from_codes(in_order, codes_per_level=per_level),
            "unsorted": lambda: TrieIndex.from_codes(unsorted, codes_per_level=per_level),
        }
        if available():
            sort = lambda: unsorted[np.lexsort(unsorted.T[::-1])]  # noqa: E731
            functions["static_sorted"] = lambda: StaticCode.build(in_order, per_level)
            functions["static_unsorted"] = lambda: StaticCode.build(sort(), per_level)
        return with_ratios(
            interleave(functions, sizes.builds, warm=1),
            sorted_over_static=("sorted", "static_sorted"),
            unsorted_over_static=("unsorted", "static_unsorted"),
        )

    return {f"4 build: |C|={items} V={codes}": measure}


def big(sizes: Sizes) -> Points:
    """Bar 5: 1e8 codes, in a process of its own whose memory is measured."""

    def measure() -> Figures:
        free = available_gib()
        if free < sizes.free_gib:
            raise GenretError(f"skipped: {free:.1f} GiB are free, expected {sizes.free_gib}")
        try:
            return in_own_process(measure_big, sizes)
        except BrokenProcessPool:
            raise GenretError("big: the process was killed (out of memory?)") from None

    return {f"5 big: |C|={sizes.big} V={sizes.index[1]}": measure}


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
    model, history = GivenLogits.random(batch, beams, per_level, seed=7)
    search = functools.partial(beam_search, model, history, beams=beams)
    functions = {"big": lambda: search(index=index), "small": lambda: search(index=small)}
    times = with_ratios(interleave(functions, sizes.repeats), step_ratio=("big", "small"))
    figures["decode_gib"] = peak_gib()
    check_big(search(index=index), model, history, table, codes, beams)
    return times | figures


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
    pairs = SortedCatalog.of(table[one_of].astype(np.int32))
    wins = np.zeros(codes * codes, bool)
    for request in range(len(history)):
        best = pairs.search(given(model, history, request), beams, levels=2)
        first, second = pairs.codes[best.lo, :2].T
        wins[first * codes + second] = True
    kept = wins[pair]
    kept[one_of] = True
    position = np.flatnonzero(kept)
    some = expected_answers(model, history, table[kept].astype(np.int32), beams)
    check_answer(result, [(position[rows], scores) for rows, scores in some], table)
