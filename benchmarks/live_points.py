"""Bar 7: refreshes, filter changes, inserts and removals in programs that are compiled once."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from benchmarks.draws import GivenLogits, draw_codes, given_logits
from benchmarks.oracle import check_answer, expected_of
from benchmarks.record import Figures
from benchmarks.timing import Compilations, count_compilations, interleave
from genret import ItemFilter, TrieIndex, beam_search
from genret.index import FilterStack, LiveIndex
from genret.typing import Bool, Codes


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of the bar.

    Attributes:
      items: |C| of the index that changes.
      codes: V.
      depth: L.
      shape: (B, M).
      refreshes: new code sets.
      filters: new filters.
      inserts: batches of inserted items, each followed by a removal and a search.
      insert_into: |C| of the index whose insert is timed: 1 % of it.
      repeats: rounds of that.
    """

    items: int
    codes: int
    depth: int
    shape: tuple[int, int]
    refreshes: int
    filters: int
    inserts: int
    insert_into: int
    repeats: int


class Live:
    """A model with given logits, and searches of it whose answers are checked."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes, self.beams = sizes, sizes.shape[1]
        self.per_level = (sizes.codes,) * sizes.depth
        self.model: GivenLogits
        self.model, self.history = given_logits(*sizes.shape, self.per_level, seed=70)

    def search(
        self,
        index: TrieIndex,
        codes: Codes,
        allowed: list[Bool[np.ndarray, "N"]],
        **options: object,
    ) -> None:
        """Search, and refuse an answer that is not the exact one of the items allowed."""
        result = beam_search(self.model, self.history, index, beams=self.beams, **options)
        masks = [allowed[request % len(allowed)] for request in range(len(self.history))]
        check_answer(result, expected_of(self.model, self.history, codes, self.beams, masks), codes)

    def refresh(self) -> Compilations:
        """Replace the codes, again and again."""
        draw = functools.partial(draw_codes, codes_per_level=self.per_level)
        build = functools.partial(TrieIndex.from_codes, codes_per_level=self.per_level)
        first = draw(self.sizes.items, seed=700)
        index = build(first, reserve=0.1)
        self.search(index, first, [np.ones(len(first), bool)])
        rng = np.random.default_rng(7)
        # Building is warm too: an index of another size has been built.
        build(draw(self.sizes.items - 1, seed=701), like=index)
        with count_compilations() as counts:
            for number in range(self.sizes.refreshes):
                count = int(self.sizes.items * rng.uniform(0.95, 1.05))
                codes = draw(count, seed=710 + number)
                fresh = build(codes, like=index)
                self.search(fresh, codes, [np.ones(count, bool)])
        return counts

    def change_filters(self) -> Compilations:
        """Search under new filters, again and again, two in a batch."""
        codes = draw_codes(self.sizes.items, self.per_level, seed=720)
        index = TrieIndex.from_codes(codes, codes_per_level=self.per_level)
        rng = np.random.default_rng(8)

        def change() -> None:
            masks = [rng.random(len(codes)) < share for share in rng.uniform(0, 1, 2) ** 4]
            stack = FilterStack.of(index, [ItemFilter.from_mask(index, mask) for mask in masks])
            filter_of = np.arange(len(self.history), dtype=np.int32) % 2
            self.search(index, codes, masks, filters=stack, filter_of=filter_of)

        change()
        with count_compilations() as counts:
            for _ in range(self.sizes.filters // 2):
                change()
        return counts

    def insert(self) -> Compilations:
        """Insert items and remove others, again and again."""
        codes = draw_codes(self.sizes.items, self.per_level, seed=730)
        allowed = np.ones(len(codes), bool)
        rng = np.random.default_rng(9)
        each = max(1, self.sizes.items // 2000)
        index = LiveIndex(
            TrieIndex.from_codes(codes, codes_per_level=self.per_level),
            insert_capacity=each * (self.sizes.inserts + 1),
        )

        def change(index: LiveIndex, number: int) -> tuple[LiveIndex, Codes, np.ndarray]:
            new = draw_codes(each, self.per_level, seed=740 + number)
            # Some share a semantic ID with an item that is there.
            new[: each // 2] = codes[rng.integers(0, len(codes), each // 2)]
            more = np.concatenate([codes, new])
            gone = rng.choice(np.flatnonzero(allowed), 3, replace=False)
            live = np.append(allowed, np.ones(each, bool))
            live[gone] = False
            changed = index.insert(new).remove(gone)
            self.search(changed, more, [live])
            return changed, more, live

        index, codes, allowed = change(index, 0)
        with count_compilations() as counts:
            for number in range(self.sizes.inserts):
                index, codes, allowed = change(index, 1 + number)
        compacted = index.compact()
        self.search(compacted, codes[allowed], [np.ones(int(allowed.sum()), bool)])
        return counts


def points(sizes: Sizes) -> dict[str, Callable[[], Figures]]:
    """Nothing is compiled again, whatever changes; and the time of an insert."""
    live = Live(sizes)
    changes = {
        f"{sizes.refreshes} refreshes": live.refresh,
        f"{sizes.filters} filter changes": live.change_filters,
        f"{sizes.inserts} inserts and removals": live.insert,
    }
    counted = {
        f"7 {name}: |C|={sizes.items}": lambda c=change: dataclasses.asdict(c())
        for name, change in changes.items()
    }
    return counted | {
        f"7 insert 1 %: |C|={sizes.insert_into}": functools.partial(time_insert, sizes)
    }


def time_insert(sizes: Sizes) -> Figures:
    """Time inserting 1 % of the items, against building the index."""
    per_level = (sizes.codes,) * sizes.depth
    codes = draw_codes(sizes.insert_into, per_level, seed=750)
    new = draw_codes(sizes.insert_into // 100, per_level, seed=751)
    ids, new_ids = np.arange(len(codes)), len(codes) + np.arange(len(new))
    build = functools.partial(TrieIndex.from_codes, codes_per_level=per_level)
    plain = LiveIndex(build(codes), insert_capacity=len(new))
    named = LiveIndex(build(codes, ids), insert_capacity=len(new))
    times = interleave(
        {
            "build": lambda: build(codes),
            "insert": lambda: plain.insert(new),
            "insert_with_ids": lambda: named.insert(new, new_ids),
        },
        sizes.repeats,
    )
    build_ms = times["build"]["ms"]
    over = {f"{n}_over_build": times[n]["ms"] / build_ms for n in ("insert", "insert_with_ids")}
    return times | over
