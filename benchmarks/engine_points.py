"""Bars 1 to 5 and 9: decoding with given logits beside STATIC, skewed codes, bytes, builds, filters."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.draws import (
    GivenLogits,
    Kind,
    draw_codes,
    floor,
    given_logits,
    real_codes,
    tokenized_codes,
)
from benchmarks.methods.static_code import Index, Static
from benchmarks.oracle import Beams, Catalog, check_answer, check_near, expected_of, given
from benchmarks.record import Figures, available_gib, peak_gib
from benchmarks.timing import in_own_process, interleave
from genret import ItemFilter, TrieIndex, beam_search
from genret.errors import GenretError
from genret.index import FilterStack
from genret.typing import Codes


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of the engine's bars.

    Attributes:
      items: |C| of the grid.
      codes: V of the grid.
      shapes: (B, M) of the grid.
      depth: L.
      repeats: rounds of a point.
      skewed: (|C|, V) of the skewed and the filters' code sets.
      filter_batch: (B, M) under filters, a filter a request.
      index: (|C|, V) of the index that is built and measured.
      builds: rounds of builds.
      tokenized: |C| of the codes that our tokenizer makes.
      big: |C| of the large index.
      small: |C| of the index that its steps are compared with.
      free_gib: free memory without which the large index is not tried.
    """

    items: tuple[int, ...]
    codes: tuple[int, ...]
    shapes: tuple[tuple[int, int], ...]
    depth: int
    repeats: int
    skewed: tuple[int, int]
    filter_batch: tuple[int, int]
    index: tuple[int, int]
    builds: int
    tokenized: int
    big: int
    small: int
    free_gib: float


class CodeSet:
    """A code set with both indices, each made when it is first asked for."""

    def __init__(self, items: int, codes: int, depth: int, kind: Kind, static: Static | None):
        self.sizes = (codes,) * depth
        self._items, self._kind, self._static = items, kind, static

    @functools.cached_property
    def catalog(self) -> Catalog:
        """The codes, sorted: an item's position in the index is its row."""
        return Catalog.of(draw_codes(self._items, self.sizes, self._kind))

    @functools.cached_property
    def index(self) -> TrieIndex:
        """Ours."""
        return TrieIndex.from_codes(self.catalog.codes, codes_per_level=self.sizes)

    @functools.cached_property
    def rival(self) -> Index | None:
        """STATIC's."""
        return self._static and self._static.index(self.catalog.codes, self.sizes[0])

    def decoders(
        self, model: GivenLogits, history: np.ndarray, beams: int
    ) -> dict[str, Callable[[], Any]]:
        """Return ours and, where there is one, the rival's decoding."""
        found: dict[str, Callable[[], Any]] = {
            "ours": lambda: beam_search(model, history, self.index, beams=beams)
        }
        if self._static is not None and self.rival is not None:
            decode, rival = self._static.decode, self.rival
            found["static"] = lambda: decode(model, history, rival, beams)
        return found

    def check(
        self, result: Any, model: GivenLogits, history: np.ndarray, beams: int
    ) -> list[Beams]:
        """Refuse an answer of ours that is not the exact one; return the exact beams."""
        exact = [self.catalog.search(given(model, history, b), beams) for b in range(len(history))]
        check_answer(result, [found.items(beams) for found in exact], self.catalog.codes)
        return exact

    def rival_answer(self, codes: Any, exact: Sequence[Beams]) -> Figures:
        """Count what is wrong with the rival's answer [B, M, L]."""
        answers = np.asarray(codes)
        hits = 0
        for request, beams in enumerate(exact):
            right = set(map(tuple, self.catalog.codes[beams.lo].tolist()))
            hits += len(right & set(map(tuple, answers[request].tolist())))
        return {
            "static_invalid": int((~self.catalog.holds(answers)).sum()),
            "static_of_exact": hits / sum(len(beams.lo) for beams in exact),
        }


def decode_point(codes: CodeSet, batch: int, beams: int, repeats: int) -> Figures:
    """Time ours, STATIC and the floor on one code set and shape, and check the answers."""
    model, history = given_logits(batch, beams, codes.sizes, seed=1)
    functions = codes.decoders(model, history, beams)
    functions["floor"] = lambda: floor(model, history)
    functions["legal"] = lambda: beam_search(
        model, history, codes.index, beams=beams, normalize="legal"
    )
    times = interleave(functions, repeats)
    exact = codes.check(functions["ours"](), model, history, beams)
    searches = (
        codes.catalog.search(given(model, history, b), beams, legal=True) for b in range(batch)
    )
    check_near(functions["legal"](), [found.items(beams) for found in searches])
    ours, legal, least = (times[name]["ms"] for name in ("ours", "legal", "floor"))
    figures: Figures = {**times, "over_floor": ours / least, "legal_over_floor": legal / least}
    if "static" in times:
        static = times["static"]["ms"]
        figures |= {"speedup": static / ours, "legal_speedup": static / legal}
        figures["static_over_floor"] = static / least
        figures |= codes.rival_answer(functions["static"](), exact)
    return figures


def grid(sizes: Sizes, static: Static | None) -> dict[str, Callable[[], Figures]]:
    """Bar 1: decode loops over the grid of |C|, V and (B, M)."""
    # The code set of the points that follow each other; the one before is dropped.
    shared = functools.lru_cache(maxsize=1)(CodeSet)

    def measure(items: int, codes: int, batch: int, beams: int) -> Figures:
        own = shared(items, codes, sizes.depth, "uniform", static)
        return decode_point(own, batch, beams, sizes.repeats)

    return {
        f"1 grid: |C|={items} V={codes} B={batch} M={beams}": functools.partial(
            measure, items, codes, batch, beams
        )
        for items in sizes.items
        for codes in sizes.codes
        for batch, beams in sizes.shapes
    }


def skew(sizes: Sizes, static: Static | None) -> dict[str, Callable[[], Figures]]:
    """Bar 2: Zipf(1.0) codes beside uniform ones."""
    items, codes = sizes.skewed
    zipf = CodeSet(items, codes, sizes.depth, "zipf", static)
    uniform = CodeSet(items, codes, sizes.depth, "uniform", None)

    def measure(batch: int, beams: int) -> Figures:
        model, history = given_logits(batch, beams, zipf.sizes, seed=2)
        functions = zipf.decoders(model, history, beams)
        functions["uniform"] = uniform.decoders(model, history, beams)["ours"]
        times = interleave(functions, sizes.repeats)
        exact = zipf.check(functions["ours"](), model, history, beams)
        uniform.check(functions["uniform"](), model, history, beams)
        figures: Figures = {**times, "over_uniform": times["ours"]["ms"] / times["uniform"]["ms"]}
        if "static" in times:
            figures["speedup"] = times["static"]["ms"] / times["ours"]["ms"]
            figures |= zipf.rival_answer(functions["static"](), exact)
        return figures

    return {
        f"2 zipf: |C|={items} V={codes} B={batch} M={beams}": functools.partial(
            measure, batch, beams
        )
        for batch, beams in sizes.shapes
    }


def filters(sizes: Sizes) -> dict[str, Callable[[], Figures]]:
    """Bar 9: a filter for each request of a batch, against none."""
    items, num_codes = sizes.skewed
    batch, beams = sizes.filter_batch

    def measure() -> Figures:
        own = CodeSet(items, num_codes, sizes.depth, "uniform", None)
        rng = np.random.default_rng(9)
        # From nearly nothing to nearly everything: a sale, a category, what is in stock.
        masks = [rng.random(items) < share for share in np.geomspace(0.001, 0.95, batch)]
        index, codes = own.index, own.catalog.codes
        stack = FilterStack.of(index, [ItemFilter.from_mask(index, mask) for mask in masks])
        chosen = rng.permutation(batch).astype(np.int32)
        seen = rng.integers(0, items, (batch, 50)).astype(np.int32)
        model, history = given_logits(batch, beams, own.sizes, seed=3)
        search = functools.partial(beam_search, model, history, index, beams=beams)
        functions: dict[str, Callable[[], Any]] = {
            "none": search,
            "filters": lambda: search(filters=stack, filter_of=chosen),
            "seen": lambda: search(exclude=seen),
        }
        times = interleave(functions, sizes.repeats)
        own.check(functions["none"](), model, history, beams)
        for name, allowed in {
            "filters": [masks[number] for number in chosen],
            "seen": [~np.isin(np.arange(items), those) for those in seen],
        }.items():
            exact = expected_of(model, history, codes, beams, allowed)
            check_answer(functions[name](), exact, codes)
        none = times["none"]["ms"]
        return times | {
            f"{name}_over_none": times[name]["ms"] / none for name in ("filters", "seen")
        }

    return {f"9 filters: |C|={items} V={num_codes} B={batch} M={beams}": measure}


def size(
    sizes: Sizes, static: Static | None, data: Path | None
) -> dict[str, Callable[[], Figures]]:
    """Bar 3: bytes of both indices, on uniform and on real codes."""
    items, codes = sizes.index
    shape = (codes,) * sizes.depth

    def of_folder(name: str) -> Codes:
        if data is None:
            raise GenretError("data: left out, expected a folder with office/ and beauty/")
        return real_codes(data / name)

    def measure(draw: Callable[[], Codes], num_codes: int) -> Figures:
        catalog = Catalog.of(draw())
        per_level = (num_codes,) * catalog.codes.shape[1]
        ours = TrieIndex.from_codes(catalog.codes, codes_per_level=per_level)
        figures: Figures = {"items": len(catalog.codes), "bytes": ours.nbytes}
        figures["nodes"] = [*ours.num_nodes]
        if static is not None:
            figures["static_bytes"] = static.index(catalog.codes, num_codes).nbytes
            figures["over_static"] = figures["bytes"] / figures["static_bytes"]
        return figures

    sets: dict[str, tuple[Callable[[], Codes], int]] = {
        f"uniform |C|={items}": (lambda: draw_codes(items, shape), codes),
        "office": (lambda: of_folder("office"), 256),
        "beauty": (lambda: of_folder("beauty"), 256),
        f"rq_kmeans |C|={sizes.tokenized}": (lambda: tokenized_codes(sizes.tokenized), 256),
    }
    return {f"3 bytes: {name}": functools.partial(measure, *own) for name, own in sets.items()}


def build(sizes: Sizes, static: Static | None) -> dict[str, Callable[[], Figures]]:
    """Bar 4: from codes to an index on the device; from unsorted ones, sorting included."""
    items, codes = sizes.index

    def measure() -> Figures:
        per_level = (codes,) * sizes.depth
        unsorted = draw_codes(items, per_level)
        in_order = Catalog.of(unsorted).codes
        functions: dict[str, Callable[[], Any]] = {
            "sorted": lambda: TrieIndex.from_codes(in_order, codes_per_level=per_level),
            "unsorted": lambda: TrieIndex.from_codes(unsorted, codes_per_level=per_level),
        }
        if static is not None:
            functions["static_sorted"] = lambda: static.index(in_order, codes).arrays
            functions["static_unsorted"] = lambda: (
                static.index(unsorted[np.lexsort(unsorted.T[::-1])], codes).arrays
            )
        figures: Figures = interleave(functions, sizes.builds, warm=1)
        if static is not None:
            for kind in ("sorted", "unsorted"):
                theirs = figures[f"static_{kind}"]["ms"]
                figures[f"{kind}_over_static"] = figures[kind]["ms"] / theirs
        return figures

    return {f"4 build: |C|={items} V={codes}": measure}


def big(sizes: Sizes) -> dict[str, Callable[[], Figures]]:
    """Bar 5: 1e8 codes, in a process of its own whose memory is measured."""
    codes = sizes.index[1]

    def measure() -> Figures:
        free = available_gib()
        if free < sizes.free_gib:
            raise GenretError(f"skipped: {free:.1f} GiB are free, expected {sizes.free_gib}")
        own = (sizes.big, sizes.small, codes, sizes.depth, sizes.repeats)
        try:
            return in_own_process(measure_big, *own)
        except BrokenProcessPool:
            raise GenretError("big: the process was killed (out of memory?)") from None

    return {f"5 big: |C|={sizes.big} V={codes}": measure}


def measure_big(items: int, small: int, codes: int, depth: int, repeats: int) -> Figures:
    """Build and decode ``items`` codes beside ``small`` ones; return the figures."""
    batch, beams = 2, 70
    imports = peak_gib()
    rng = np.random.default_rng(5)
    # As they may lie on disk: 16 bits a code, in no order.
    table = np.empty((items, depth), np.uint16)
    for begin in range(0, items, 1 << 20):
        part = table[begin : begin + (1 << 20)]
        part[:] = rng.integers(0, codes, part.shape, dtype=np.uint16)
    with_input = peak_gib()
    sizes = (codes,) * depth
    start = time.perf_counter()
    index = TrieIndex.from_codes(table, codes_per_level=sizes)
    jax.block_until_ready(index)
    seconds, after_build = time.perf_counter() - start, peak_gib()
    few = TrieIndex.from_codes(draw_codes(small, sizes, seed=6), codes_per_level=sizes)
    model, history = given_logits(batch, beams, sizes, seed=7)
    searches = {
        name: functools.partial(beam_search, model, history, own, beams=beams)
        for name, own in (("big", index), ("small", few))
    }
    times = interleave(searches, repeats)
    after_decode = peak_gib()
    check_big(searches["big"](), model, history, table, codes, beams)
    return {
        **times,
        "step_ratio": times["big"]["ms"] / times["small"]["ms"],
        "build_s": seconds,
        "bytes": index.nbytes,
        "imports_gib": imports,
        "with_input_gib": with_input,
        "build_gib": after_build,
        "decode_gib": after_decode,
    }


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
