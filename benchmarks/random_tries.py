"""Bar 6: random tries and logits against the exact search, and the cases that STATIC answers wrongly."""

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.methods import StaticCode
from benchmarks.methods.static_code import available
from benchmarks.process import Figures
from benchmarks.record import Points
from benchmarks.timing import count_compilations
from benchmarks.workload import Point, Workload, of_static
from genret import TrieIndex
from genret.testing import FAMILIES, Family, SortedCatalog, count_invalid, random_codes
from genret.typing import Codes


def points(tries: int, families: tuple[Family, ...] = FAMILIES) -> Points:
    """Compare so many answers with the exact ones."""
    each = -(-tries // len(families))
    return {
        f"6 soak: {each} tries of {family}": partial(run, family, each, seed)
        for seed, family in enumerate(families)
    }


def run(
    family: Family,
    tries: int,
    seed: int,
    cut: Callable[[TrieIndex], TrieIndex] = lambda index: index,
) -> Figures:
    """Search random tries of a family, all of them cut alike; count wrong and invalid answers."""
    rng = np.random.default_rng([6, seed])
    room = cut(family.room())
    figures: Figures = {"tries": tries, "wrong": 0, "invalid": 0, "padded": 0, "first_wrong": None}
    with count_compilations() as counts:
        for number in range(tries):
            codes = family.trie(rng)
            index = TrieIndex.from_codes(codes, codes_per_level=family.codes_per_level, like=room)
            found, allowed, error = family.search(rng, index, codes)
            figures["padded"] += int((~np.asarray(found.valid)).any())
            figures["invalid"] += count_invalid(found, codes, allowed)
            if error is not None:
                figures["wrong"] += 1
                figures["first_wrong"] = figures["first_wrong"] or f"try {number}: {error}"
    return figures | {"compiled": counts["compiled"]}


def static_cases() -> Points:
    """Search the cases that STATIC's code answers wrongly; ours has to answer exactly."""
    one_first = random_codes(50, (64, 64, 64), seed=1)
    one_first[:, 0] = 5
    few, one, some = (random_codes(n, (64, 64, 64), seed=n) for n in (5, 1, 30))
    cases: dict[str, tuple[Codes, int, int, int]] = {  # codes, V, M, STATIC's tokens per beam
        "1: items share the first code": (one_first, 64, 50, 10),
        "2: more beams than items": (few, 64, 10, 10),
        "2: one item": (one, 64, 4, 10),
        "3: dead beams": (some, 64, 40, 10),
        "4: many children of one beam": (random_codes(50_000, (512,) * 3, seed=5), 512, 70, 30),
    }
    return {f"6 case {name}": partial(_case, *case) for name, case in cases.items()}


def _case(codes: Codes, num_codes: int, beams: int, tokens_per_beam: int) -> Figures:
    point = Point(items=len(codes), codes=num_codes, depth=3, beams=beams)
    work = Workload.of(point, catalog=SortedCatalog.of(codes))
    result = work.ours()()
    invalid = count_invalid(result, work.catalog.codes, np.ones((2, len(codes)), bool))
    figures: Figures = {"invalid": invalid, "answers": int(np.asarray(result.valid).sum())}
    if available():
        try:
            rival = StaticCode.build(work.catalog.codes, work.codes_per_level, tokens_per_beam)
            figures |= of_static(work.judge(rival, rival.run(*work.asked)), work)
        except Exception as e:  # whatever it raises is its answer
            figures["static_error"] = f"{type(e).__name__}: {str(e)[:200]}"
    return figures
