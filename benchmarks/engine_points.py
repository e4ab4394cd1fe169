"""Bars 1 to 5 and 9: decoding with given logits beside STATIC, skewed codes, bytes, builds, filters."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.methods import StaticCode
from benchmarks.methods.static_code import available
from benchmarks.process import Figures, available_gib, in_own_process, peak_gib, timed
from benchmarks.record import Points
from benchmarks.sizes import Sizes
from benchmarks.timing import interleave, with_ratios
from benchmarks.workload import (
    Point,
    Workload,
    catalog_of,
    floor,
    of_static,
    real_codes,
    tokenized_codes,
)
from genret import TrieIndex, beam_search
from genret.errors import GenretError
from genret.testing import (
    GivenLogits,
    SortedCatalog,
    check_answer,
    expected_answers,
    given,
    random_codes,
)
from genret.typing import Codes

RATIOS = {
    "over_floor": ("ours", "floor"), "static_over_floor": ("static", "floor"),
    "speedup": ("static", "ours"), "over_uniform": ("ours", "uniform"),
    "filters_over_none": ("filters", "ours"), "seen_over_none": ("seen", "ours"),
}  # fmt: skip
RULES = {"filters": {"filters": 32}, "seen": {"seen": 50}}
"""What is asked beside a search without rules."""


def points(sizes: Sizes, data: Path | None) -> Points:
    """Return the points of searches, of bytes and of builds."""
    items, codes = sizes.index
    sets: dict[str, tuple[Callable[[], Codes], int]] = {
        f"uniform |C|={items}": (lambda: random_codes(items, (codes,) * sizes.depth), codes),
        "office": (lambda: real_codes(data, "office"), 256),
        "beauty": (lambda: real_codes(data, "beauty"), 256),
        f"rq_kmeans |C|={sizes.tokenized}": (lambda: tokenized_codes(sizes.tokenized), 256),
    }
    return {
        **searches(sizes),
        **{f"3 bytes: {name}": partial(weigh, *own) for name, own in sets.items()},
        f"4 build: |C|={items} V={codes}": partial(build, sizes),
        f"5 big: |C|={sizes.big} V={codes}": partial(big, sizes),
    }


def searches(sizes: Sizes) -> Points:
    """Bars 1, 2 and 9: the grid, Zipf's codes beside uniform ones, and rules beside none."""
    # Points that follow each other have the same codes; those before are dropped.
    catalogs = functools.lru_cache(maxsize=2)(catalog_of)

    def point(items: int, codes: int, shape: tuple[int, int], **more: Any) -> Point:
        batch, beams = shape
        return Point(items=items, codes=codes, depth=sizes.depth, batch=batch, beams=beams, **more)

    def measured(bar: str, ours: Point, **others: Point) -> Points:
        def measure() -> Figures:
            works = {
                name: Workload.of(p, catalog=catalogs(p.items, p.codes, p.depth, p.kind))
                for name, p in {"ours": ours, **others}.items()
            }
            return beside_static(works, sizes.repeats)

        key = f"{bar}: |C|={ours.items} V={ours.codes} B={ours.batch} M={ours.beams}"
        return {key: measure}

    found: Points = {}
    for items, codes, shape in itertools.product(sizes.items, sizes.codes, sizes.shapes):
        found |= measured("1 grid", point(items, codes, shape))
    for shape in sizes.shapes:
        zipf = point(*sizes.skewed, shape, kind="zipf")
        found |= measured("2 zipf", zipf, uniform=point(*sizes.skewed, shape))
    free = point(*sizes.skewed, sizes.filter_batch)
    ruled = {name: dataclasses.replace(free, **more) for name, more in RULES.items()}
    return found | measured("9 filters", free, **ruled)


def beside_static(works: Mapping[str, Workload], repeats: int) -> Figures:
    """Time our search of each workload, and STATIC's and the floor of the first; check all answers."""
    first = works["ours"]
    functions = {name: work.ours() for name, work in works.items()}
    functions["floor"] = partial(floor, first.model, first.history)
    static: Figures = {}
    if available() and not any(work.restricted for work in works.values()):
        rival = first.built(StaticCode)
        functions["static"] = partial(rival.run, *first.asked)
        static = of_static(first.judge(rival, functions["static"]()), first)
    return with_ratios(interleave(functions, repeats), **RATIOS) | static


def weigh(draw: Callable[[], Codes], num_codes: int) -> Figures:
    """Bar 3: bytes of both indices."""
    in_order = SortedCatalog.of(draw()).codes
    per_level = (num_codes,) * in_order.shape[1]
    ours = TrieIndex.from_codes(in_order, codes_per_level=per_level)
    figures = {"items": len(in_order), "bytes": ours.nbytes, "nodes": [*ours.num_nodes]}
    if available():
        theirs = StaticCode.build(in_order, per_level).bytes
        figures |= {"static_bytes": theirs, "over_static": ours.nbytes / theirs}
    return figures


def build(sizes: Sizes) -> Figures:
    """Bar 4: from codes to an index on the device; from unsorted ones, sorting included."""
    items, codes = sizes.index
    per_level = (codes,) * sizes.depth
    unsorted = random_codes(items, per_level)
    in_order = SortedCatalog.of(unsorted).codes
    ours = partial(TrieIndex.from_codes, codes_per_level=per_level)
    functions = {"sorted": partial(ours, in_order), "unsorted": partial(ours, unsorted)}
    if available():
        theirs = partial(StaticCode.build, codes_per_level=per_level)
        functions |= {
            "static_sorted": partial(theirs, in_order),
            "static_unsorted": lambda: theirs(unsorted[np.lexsort(unsorted.T[::-1])]),
        }
    return with_ratios(
        interleave(functions, sizes.builds, warm=1),
        sorted_over_static=("sorted", "static_sorted"),
        unsorted_over_static=("unsorted", "static_unsorted"),
    )


def big(sizes: Sizes) -> Figures:
    """Bar 5: 1e8 codes, in a process of its own whose memory is measured."""
    free = available_gib()
    if free < sizes.free_gib:
        raise GenretError(f"skipped: {free:.1f} GiB are free, expected {sizes.free_gib}")
    return in_own_process(measure_big, sizes)


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
    few = random_codes(sizes.small, per_level, seed=6)
    small = TrieIndex.from_codes(few, codes_per_level=per_level)
    model, history = GivenLogits.random(batch, beams, per_level, seed=7)
    search = partial(beam_search, model, history, beams=beams)
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
