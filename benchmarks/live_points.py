"""Bar 7: refreshes, filter changes, inserts and removals in programs that are compiled once."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from benchmarks.draws import draw_codes, given_logits
from benchmarks.oracle import check_answer, expected_of
from benchmarks.record import Figures
from benchmarks.timing import count_compilations, interleave
from genret import ItemFilter, TrieIndex, beam_search
from genret.index import FilterStack, LiveIndex
from genret.typing import Bool, Codes


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of the bar."""

    items: int  # |C| of the index that changes
    codes: int  # V
    depth: int  # L
    shape: tuple[int, int]  # (B, M)
    refreshes: int  # new code sets
    filters: int  # new filters
    inserts: int  # batches of inserted items, each followed by a removal and a search
    insert_into: int  # |C| of the index whose insert is timed: 1 % of it
    repeats: int  # rounds of that


class Live:
    """A model with given logits, and searches of it whose answers are checked."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes, self.beams = sizes, sizes.shape[1]
        per_level = (sizes.codes,) * sizes.depth
        self.model, self.history = given_logits(*sizes.shape, per_level, seed=70)
        self.draw = functools.partial(draw_codes, codes_per_level=per_level)
        self.build = functools.partial(TrieIndex.from_codes, codes_per_level=per_level)

    def search(
        self,
        index: TrieIndex | LiveIndex,
        codes: Codes,
        allowed: list[Bool[np.ndarray, "N"]] | None = None,
        **options: object,
    ) -> None:
        """Search, and refuse an answer that is not the exact one of the items allowed."""
        result = beam_search(self.model, self.history, index, beams=self.beams, **options)
        masks = allowed and [allowed[b % len(allowed)] for b in range(len(self.history))]
        check_answer(result, expected_of(self.model, self.history, codes, self.beams, masks), codes)

    def refresh(self) -> Figures:
        """Replace the codes, again and again."""
        first = self.draw(self.sizes.items, seed=700)
        index = self.build(first, reserve=0.1)
        self.search(index, first)
        rng = np.random.default_rng(7)
        # Building is warm too: an index of another size has been built.
        self.build(self.draw(self.sizes.items - 1, seed=701), like=index)
        with count_compilations() as counts:
            for number in range(self.sizes.refreshes):
                count = int(self.sizes.items * rng.uniform(0.95, 1.05))
                codes = self.draw(count, seed=710 + number)
                self.search(self.build(codes, like=index), codes)
        return dict(counts)

    def change_filters(self) -> Figures:
        """Search under new filters, again and again, two in a batch."""
        codes = self.draw(self.sizes.items, seed=720)
        index = self.build(codes)
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
        return dict(counts)

    def insert(self) -> Figures:
        """Insert items and remove others, again and again."""
        codes = self.draw(self.sizes.items, seed=730)
        allowed = np.ones(len(codes), bool)
        rng = np.random.default_rng(9)
        each = max(1, self.sizes.items // 2000)
        index = LiveIndex(self.build(codes), insert_capacity=each * (self.sizes.inserts + 1))

        def change(number: int) -> None:
            nonlocal index, codes, allowed
            new = self.draw(each, seed=740 + number)
            # Some share a semantic ID with an item that is there.
            new[: each // 2] = codes[rng.integers(0, len(codes), each // 2)]
            codes = np.concatenate([codes, new])
            gone = rng.choice(np.flatnonzero(allowed), 3, replace=False)
            allowed = np.append(allowed, np.ones(each, bool))
            allowed[gone] = False
            index = index.insert(new).remove(gone)
            self.search(index, codes, [allowed])

        change(0)
        with count_compilations() as counts:
            for number in range(self.sizes.inserts):
                change(1 + number)
        self.search(index.compact(), codes[allowed])
        return dict(counts)

    def time_insert(self) -> Figures:
        """Time inserting 1 % of the items, against building the index."""
        count = self.sizes.insert_into
        codes, new = self.draw(count, seed=750), self.draw(count // 100, seed=751)
        ids, new_ids = np.arange(len(codes)), len(codes) + np.arange(len(new))
        plain = LiveIndex(self.build(codes), insert_capacity=len(new))
        named = LiveIndex(self.build(codes, ids), insert_capacity=len(new))
        functions = {
            "build": lambda: self.build(codes),
            "insert": lambda: plain.insert(new),
            "insert_with_ids": lambda: named.insert(new, new_ids),
        }
        times = interleave(functions, self.sizes.repeats)
        base = times["build"]["ms"]
        over = {f"{n}_over_build": times[n]["ms"] / base for n in ("insert", "insert_with_ids")}
        return times | over


def points(sizes: Sizes) -> dict[str, Callable[[], Figures]]:
    """Nothing is compiled again, whatever changes; and the time of an insert."""
    live = Live(sizes)
    return {
        f"7 {sizes.refreshes} refreshes: |C|={sizes.items}": live.refresh,
        f"7 {sizes.filters} filter changes: |C|={sizes.items}": live.change_filters,
        f"7 {sizes.inserts} inserts and removals: |C|={sizes.items}": live.insert,
        f"7 insert 1 %: |C|={sizes.insert_into}": live.time_insert,
    }
