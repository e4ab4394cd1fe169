"""Bars 1, 2 and 9: decoding with given logits, against STATIC, skewed, and under filters."""

import dataclasses
import functools
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks._draws import GivenLogits, Kind, draw_codes, floor, given_logits
from benchmarks._oracle import Beams, Catalog, check_answer, check_near, given
from benchmarks._record import Figures, Record, good, interleave
from benchmarks._static import Index, Static
from genret import ItemFilter, TrieIndex, beam_search
from genret.index import FilterStack


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of the decoding bars.

    Attributes:
      items: |C| of the grid.
      codes: V of the grid.
      shapes: (B, M) of the grid.
      depth: L.
      repeats: rounds of a point.
      skewed: (|C|, V) of the skewed and the filters' code sets.
      filter_batch: (B, M) under filters, a filter a request.
    """

    items: tuple[int, ...]
    codes: tuple[int, ...]
    shapes: tuple[tuple[int, int], ...]
    depth: int
    repeats: int
    skewed: tuple[int, int]
    filter_batch: tuple[int, int]


class Workload:
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
        exact = [
            self.catalog.search(given(model, history, request), beams)
            for request in range(len(history))
        ]
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


def decode_point(workload: Workload, batch: int, beams: int, repeats: int) -> Figures:
    """Time ours, STATIC and the floor on one code set and shape, and check the answers."""
    model, history = given_logits(batch, beams, workload.sizes, seed=1)
    functions = workload.decoders(model, history, beams)
    functions["floor"] = lambda: floor(model, history)
    functions["legal"] = lambda: beam_search(
        model, history, workload.index, beams=beams, normalize="legal"
    )
    times = interleave(functions, repeats)
    exact = workload.check(functions["ours"](), model, history, beams)
    legal = [
        workload.catalog.search(given(model, history, request), beams, legal=True).items(beams)
        for request in range(batch)
    ]
    check_near(functions["legal"](), legal)
    figures: Figures = {**times}
    ours, least = times["ours"]["ms"], times["floor"]["ms"]
    figures |= {"over_floor": ours / least, "legal_over_floor": times["legal"]["ms"] / least}
    if "static" in times:
        figures["speedup"] = times["static"]["ms"] / ours
        figures["legal_speedup"] = times["static"]["ms"] / times["legal"]["ms"]
        figures["static_over_floor"] = times["static"]["ms"] / least
        figures |= workload.rival_answer(functions["static"](), exact)
    return figures


def grid(record: Record, sizes: Sizes, static: Static | None) -> None:
    """Bar 1: decode loops over the grid of |C|, V and (B, M)."""
    points = []
    for items in sizes.items:
        for codes in sizes.codes:
            workload = Workload(items, codes, sizes.depth, "uniform", static)
            for batch, beams in sizes.shapes:
                points.append(
                    record.point(
                        f"1 grid: |C|={items} V={codes} B={batch} M={beams}",
                        lambda w=workload, b=batch, m=beams: decode_point(w, b, m, sizes.repeats),
                    )
                )
    record.bar("ours_over_floor", points, lambda: _geomean(points, "over_floor"), None)
    record.bar("legal_over_floor", points, lambda: _geomean(points, "legal_over_floor"), None)
    if static is not None:
        record.bar("geomean_speedup", points, lambda: _geomean(points, "speedup"), 1.5)
        record.bar("min_speedup", points, lambda: min(_each(points, "speedup")), 0.95)
        record.bar("static_over_floor", points, lambda: _geomean(points, "static_over_floor"), None)
        record.bar("legal_geomean_speedup", points, lambda: _geomean(points, "legal_speedup"), None)


def skew(record: Record, sizes: Sizes, static: Static | None) -> None:
    """Bar 2: Zipf(1.0) codes beside uniform ones."""
    items, codes = sizes.skewed
    zipf = Workload(items, codes, sizes.depth, "zipf", static)
    uniform = Workload(items, codes, sizes.depth, "uniform", None)

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

    points = [
        record.point(
            f"2 zipf: |C|={items} V={codes} B={batch} M={beams}",
            lambda b=batch, m=beams: measure(b, m),
        )
        for batch, beams in sizes.shapes
    ]
    record.bar(
        "zipf_over_uniform", points, lambda: max(_each(points, "over_uniform")), 1.3, at_most=True
    )
    if static is not None:
        record.bar("zipf_speedup", points, lambda: min(_each(points, "speedup")), 2.0)


def filters(record: Record, sizes: Sizes) -> None:
    """Bar 9: a filter for each request of a batch, against none."""
    items, codes = sizes.skewed
    batch, beams = sizes.filter_batch
    workload = Workload(items, codes, sizes.depth, "uniform", None)

    def measure() -> Figures:
        rng = np.random.default_rng(9)
        # From nearly nothing to nearly everything: a sale, a category, what is in stock.
        masks = [rng.random(items) < share for share in np.geomspace(0.001, 0.95, batch)]
        index = workload.index
        stack = FilterStack.of(index, [ItemFilter.from_mask(index, mask) for mask in masks])
        chosen = rng.permutation(batch).astype(np.int32)
        seen = rng.integers(0, items, (batch, 50)).astype(np.int32)
        model, history = given_logits(batch, beams, workload.sizes, seed=3)
        search = functools.partial(beam_search, model, history, index, beams=beams)
        functions: dict[str, Callable[[], Any]] = {
            "none": search,
            "filters": lambda: search(filters=stack, filter_of=chosen),
            "seen": lambda: search(exclude=seen),
        }
        times = interleave(functions, sizes.repeats)
        workload.check(functions["none"](), model, history, beams)
        for name, allowed in {
            "filters": lambda b: masks[chosen[b]],
            "seen": lambda b: ~np.isin(np.arange(items), seen[b]),
        }.items():
            expected = []
            for request in range(batch):
                some = Catalog.of(workload.catalog.codes, allowed(request))
                rows, scores = some.search(given(model, history, request), beams).items(beams)
                expected.append((some.positions[rows], scores))
            check_answer(functions[name](), expected, workload.catalog.codes)
        none = times["none"]["ms"]
        return {
            **times,
            "filters_over_none": times["filters"]["ms"] / none,
            "seen_over_none": times["seen"]["ms"] / none,
        }

    point = record.point(f"9 filters: |C|={items} V={codes} B={batch} M={beams}", measure)
    bar = functools.partial(record.bar, points=[point], at_most=True)
    bar("filters_over_none", value=lambda: point["filters_over_none"], bar=1.25)
    bar("seen_over_none", value=lambda: point["seen_over_none"], bar=None)


def _each(points: list[Figures], name: str) -> list[float]:
    return [point[name] for point in good(points)]


def _geomean(points: list[Figures], name: str) -> float:
    return statistics.geometric_mean(_each(points, name))
