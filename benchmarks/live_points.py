"""Bar 7: refreshes, filter changes, inserts and removals in programs that are compiled once."""

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.process import Figures
from benchmarks.record import Points
from benchmarks.sizes import Sizes
from benchmarks.timing import count_compilations, interleave, with_ratios
from genret import ItemFilter, TrieIndex, beam_search
from genret.index import FilterStack, LiveIndex
from genret.testing import GivenLogits, check_answer, expected_answers, random_codes
from genret.typing import Bool, Codes

Change = Callable[[int], None]
"""Makes a change, by its number, and checks a search of what was changed."""


def points(sizes: Sizes) -> Points:
    """Nothing is compiled again, whatever changes; and the time of an insert."""
    live, items, few = Live(sizes), sizes.live[0], -(-sizes.changes // 5)
    return {
        f"7 {few} refreshes: |C|={items}": partial(compilations, live.refreshes, few),
        f"7 {sizes.changes} filter changes: |C|={items}": partial(
            compilations, live.filters, sizes.changes // 2
        ),
        f"7 {sizes.changes} inserts and removals: |C|={items}": partial(
            compilations, live.inserts, sizes.changes
        ),
        f"7 insert 1 %: |C|={sizes.insert_into}": partial(live.time_insert, sizes.insert_into),
    }


def compilations(prepare: Callable[[], Change], count: int) -> Figures:
    """Make a change, then as many more; return what JAX traced and compiled for those."""
    change = prepare()
    change(0)
    with count_compilations() as counts:
        for number in range(1, count + 1):
            change(number)
    return dict(counts)


class Live:
    """A model with given logits, and searches of it whose answers are checked."""

    def __init__(self, sizes: Sizes) -> None:
        self.beams, self.changes = sizes.live_shape[1], sizes.changes
        self.items, codes, depth = sizes.live
        self.model, self.history = GivenLogits.random(*sizes.live_shape, (codes,) * depth, seed=70)
        self.draw = partial(random_codes, codes_per_level=(codes,) * depth)
        self.build = partial(TrieIndex.from_codes, codes_per_level=(codes,) * depth)

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

    def refreshes(self) -> Change:
        """Replace the codes."""
        index = self.build(self.draw(self.items, seed=700), reserve=0.1)
        rng = np.random.default_rng(7)

        def change(number: int) -> None:
            codes = self.draw(int(self.items * rng.uniform(0.95, 1.05)), seed=710 + number)
            self.search(self.build(codes, like=index), codes)

        return change

    def filters(self) -> Change:
        """Search under new filters, two in a batch."""
        codes = self.draw(self.items, seed=720)
        index = self.build(codes)
        rng = np.random.default_rng(8)

        def change(_: int) -> None:
            masks = [rng.random(len(codes)) < share for share in rng.uniform(0, 1, 2) ** 4]
            stack = FilterStack.of(index, [ItemFilter.from_mask(index, mask) for mask in masks])
            filter_of = np.arange(len(self.history), dtype=np.int32) % 2
            self.search(index, codes, masks, filters=stack, filter_of=filter_of)

        return change

    def inserts(self) -> Change:
        """Insert items, of which some share a semantic ID with one that is there, and remove others."""
        codes = self.draw(self.items, seed=730)
        allowed = np.ones(len(codes), bool)
        rng = np.random.default_rng(9)
        each = max(1, self.items // 2000)
        index = LiveIndex(self.build(codes), insert_capacity=each * (self.changes + 1))

        def change(number: int) -> None:
            nonlocal index, codes, allowed
            new = self.draw(each, seed=740 + number)
            new[: each // 2] = codes[rng.integers(0, len(codes), each // 2)]
            codes = np.concatenate([codes, new])
            gone = rng.choice(np.flatnonzero(allowed), 3, replace=False)
            allowed = np.append(allowed, np.ones(each, bool))
            allowed[gone] = False
            index = index.insert(new).remove(gone)
            self.search(index, codes, [allowed])

        return change

    def time_insert(self, count: int) -> Figures:
        """Time inserting 1 % of the items, against building the index."""
        codes, new = self.draw(count, seed=750), self.draw(count // 100, seed=751)
        live = LiveIndex(self.build(codes), insert_capacity=len(new))
        functions = {"build": lambda: self.build(codes), "insert": lambda: live.insert(new)}
        return with_ratios(interleave(functions, 7), insert_over_build=("insert", "build"))
