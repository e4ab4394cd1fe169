"""Bar 7: refreshes, filter changes, inserts and removals in programs that are compiled once."""

from collections.abc import Callable, Iterator
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


def points(sizes: Sizes) -> Points:
    """Nothing is compiled again, whatever changes; and the time of an insert."""
    live, items, few = Live(sizes), sizes.live[0], -(-sizes.changes // 5)
    changes = {
        f"{few} refreshes": (live.refreshes, few),
        f"{sizes.changes} filter changes": (live.filters, sizes.changes // 2),
        f"{sizes.changes} inserts and removals": (live.inserts, sizes.changes),
    }
    return {
        **{f"7 {name}: |C|={items}": partial(compilations, *own) for name, own in changes.items()},
        f"7 insert 1 %: |C|={sizes.insert_into}": partial(live.time_insert, sizes.insert_into),
    }


def compilations(changes: Callable[[], Iterator[None]], count: int) -> Figures:
    """Make a change, then as many more; return what JAX traced and compiled for those."""
    making = changes()
    next(making)
    with count_compilations() as counts:
        for _ in range(count):
            next(making)
    return dict(counts)


class Live:
    """A model with given logits, and searches of what changes, whose answers are checked."""

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

    def refreshes(self) -> Iterator[None]:
        """Replace the codes."""
        rng = np.random.default_rng(7)
        index = self.build(self.draw(self.items, seed=700), reserve=0.1)
        while True:
            codes = self.draw(
                int(self.items * rng.uniform(0.95, 1.05)), seed=int(rng.integers(2**31))
            )
            self.search(self.build(codes, like=index), codes)
            yield

    def filters(self) -> Iterator[None]:
        """Search under new filters, two in a batch."""
        rng = np.random.default_rng(8)
        codes = self.draw(self.items, seed=720)
        index = self.build(codes)
        filter_of = np.arange(len(self.history), dtype=np.int32) % 2
        while True:
            masks = [rng.random(len(codes)) < share for share in rng.uniform(0, 1, 2) ** 4]
            stack = FilterStack.of(index, [ItemFilter.from_mask(index, mask) for mask in masks])
            self.search(index, codes, masks, filters=stack, filter_of=filter_of)
            yield

    def inserts(self) -> Iterator[None]:
        """Insert items, of which some share a semantic ID with one that is there, and remove others."""
        rng = np.random.default_rng(9)
        codes = self.draw(self.items, seed=730)
        allowed = np.ones(len(codes), bool)
        each = max(1, self.items // 2000)
        index = LiveIndex(self.build(codes), insert_capacity=each * (self.changes + 1))
        while True:
            new = self.draw(each, seed=int(rng.integers(2**31)))
            new[: each // 2] = codes[rng.integers(0, len(codes), each // 2)]
            gone = rng.choice(np.flatnonzero(allowed), 3, replace=False)
            codes = np.concatenate([codes, new])
            allowed = np.append(allowed, np.ones(each, bool))
            allowed[gone] = False
            index = index.insert(new).remove(gone)
            self.search(index, codes, [allowed])
            yield

    def time_insert(self, count: int) -> Figures:
        """Time inserting 1 % of the items, against building the index."""
        codes, new = self.draw(count, seed=750), self.draw(count // 100, seed=751)
        live = LiveIndex(self.build(codes), insert_capacity=len(new))
        functions = {"build": lambda: self.build(codes), "insert": lambda: live.insert(new)}
        return with_ratios(interleave(functions, 7), insert_over_build=("insert", "build"))
