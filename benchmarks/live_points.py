"""Bar 7: refreshes, filter changes, inserts and removals in programs that are compiled once."""

import functools
from collections.abc import Callable, Iterable

import numpy as np

from benchmarks.draws import draw_codes
from benchmarks.process import Figures
from benchmarks.sizes import Points, Sizes
from benchmarks.timing import count_compilations, interleave, with_ratios
from genret import ItemFilter, TrieIndex, beam_search
from genret.index import FilterStack, LiveIndex
from genret.testing import GivenLogits, check_answer, expected_answers
from genret.typing import Bool, Codes


class Live:
    """A model with given logits, and searches of it whose answers are checked."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes, self.beams = sizes, sizes.live_shape[1]
        self.items, codes, depth = sizes.live
        self.model, self.history = GivenLogits.random(*sizes.live_shape, (codes,) * depth, seed=70)
        self.draw = functools.partial(draw_codes, codes_per_level=(codes,) * depth)
        self.build = functools.partial(TrieIndex.from_codes, codes_per_level=(codes,) * depth)

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
        exact = expected_answers(self.model, self.history, codes, self.beams, masks)
        check_answer(result, exact, codes)

    def refresh(self) -> Figures:
        """Replace the codes, again and again."""
        first = self.draw(self.items, seed=700)
        index = self.build(first, reserve=0.1)
        self.search(index, first)
        # Building is warm too: an index of another size has been built.
        self.build(self.draw(self.items - 1, seed=701), like=index)
        rng = np.random.default_rng(7)

        def change(number: int) -> None:
            codes = self.draw(int(self.items * rng.uniform(0.95, 1.05)), seed=710 + number)
            self.search(self.build(codes, like=index), codes)

        return compilations(change, range(self.sizes.refreshes))

    def change_filters(self) -> Figures:
        """Search under new filters, again and again, two in a batch."""
        codes = self.draw(self.items, seed=720)
        index = self.build(codes)
        rng = np.random.default_rng(8)

        def change(_: int) -> None:
            masks = [rng.random(len(codes)) < share for share in rng.uniform(0, 1, 2) ** 4]
            stack = FilterStack.of(index, [ItemFilter.from_mask(index, mask) for mask in masks])
            filter_of = np.arange(len(self.history), dtype=np.int32) % 2
            self.search(index, codes, masks, filters=stack, filter_of=filter_of)

        change(0)
        return compilations(change, range(self.sizes.filters // 2))

    def insert(self) -> Figures:
        """Insert items and remove others, again and again."""
        codes = self.draw(self.items, seed=730)
        allowed = np.ones(len(codes), bool)
        rng = np.random.default_rng(9)
        each = max(1, self.items // 2000)
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
        counts = compilations(change, range(1, 1 + self.sizes.inserts))
        self.search(index.compact(), codes[allowed])
        return counts

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
        return with_ratios(
            interleave(functions, self.sizes.insert_repeats),
            insert_over_build=("insert", "build"),
            insert_with_ids_over_build=("insert_with_ids", "build"),
        )


def compilations(change: Callable[[int], None], numbers: Iterable[int]) -> Figures:
    """Make changes by their numbers; return what JAX traced and compiled meanwhile."""
    with count_compilations() as counts:
        for number in numbers:
            change(number)
    return dict(counts)


def points(sizes: Sizes) -> Points:
    """Nothing is compiled again, whatever changes; and the time of an insert."""
    live, items = Live(sizes), sizes.live[0]
    return {
        f"7 {sizes.refreshes} refreshes: |C|={items}": live.refresh,
        f"7 {sizes.filters} filter changes: |C|={items}": live.change_filters,
        f"7 {sizes.inserts} inserts and removals: |C|={items}": live.insert,
        f"7 insert 1 %: |C|={sizes.insert_into}": live.time_insert,
    }
