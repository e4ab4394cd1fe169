"""Random tries and logits against the exact search, and the cases that STATIC answers wrongly."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.draws import GivenLogits, draw_codes, exact_logits
from benchmarks.methods.static_code import Static
from benchmarks.oracle import check_answer, expected_of
from benchmarks.record import Figures
from benchmarks.timing import count_compilations
from benchmarks.workload import CodeSet, Point, Workload
from genret import ItemFilter, TrieIndex, beam_search
from genret.errors import GenretError
from genret.index import FilterStack, LiveIndex
from genret.typing import Codes


@dataclasses.dataclass(frozen=True)
class Family:
    """Tries that are searched by one program: each fits the room of the largest."""

    codes_per_level: tuple[int, ...]
    items: int  # |C| at most
    beams: int  # M
    restricted: bool = False  # requests have filters and seen items


FAMILIES = (
    Family((7,), 12, 9),  # one level; more beams than codes
    Family((2,) * 10, 60, 4),  # deep and narrow
    Family((5, 5, 5), 80, 16),  # more beams than the root has children
    Family((5, 5, 5), 80, 100, restricted=True),  # more beams than items
    Family((8, 8, 8, 8), 200, 1, restricted=True),  # greedy
    Family((300, 300, 300), 30, 8, restricted=True),  # few rows below each node
    Family((300, 2, 300), 500, 12),
    Family((2, 300, 300), 400, 20, restricted=True),  # wide nodes, sparsely
)
BATCH, SEEN = 2, 4


def points(tries: int, families: tuple[Family, ...] = FAMILIES) -> dict[str, Callable[[], Figures]]:
    """Bar 6: compare so many answers with the exact ones."""
    each = -(-tries // len(families))
    return {
        f"6 soak: {each} tries of {family}": functools.partial(run, family, each, seed)
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
    room = cut(room_for(family))
    figures: Figures = {"tries": tries, "wrong": 0, "invalid": 0, "padded": 0, "first_wrong": None}
    with count_compilations() as counts:
        for number in range(tries):
            codes = random_trie(rng, family)
            index = TrieIndex.from_codes(codes, codes_per_level=family.codes_per_level, like=room)
            found, allowed, error = search(rng, family, index, codes)
            figures["padded"] += int((~np.asarray(found.valid)).any())
            figures["invalid"] += count_invalid(found, codes, allowed)
            if error is not None:
                figures["wrong"] += 1
                figures["first_wrong"] = figures["first_wrong"] or f"try {number}: {error}"
    return figures | {"compiled": counts["compiled"]}


def search(
    rng: np.random.Generator,
    family: Family,
    index: TrieIndex | LiveIndex,
    codes: Codes,
    there: np.ndarray | None = None,
) -> tuple[Any, np.ndarray, GenretError | None]:
    """Search an index under drawn logits and restrictions.

    Args:
      rng: what draws.
      family: sizes.
      index: the index.
      codes: of its items, also of removed ones.
      there: bool [N], the items that were not removed; None: all.

    Returns:
      The answer, what is allowed of each request (bool [B, N]), and how it differs from brute force's.
    """
    model = random_model(rng, family)
    options, allowed = restrictions(rng, family, index, len(codes))
    if there is not None:
        allowed = allowed & there
    history = rng.integers(0, len(model.first), BATCH).astype(np.int32)
    result = beam_search(model, history, index, beams=family.beams, **options)
    try:
        exact = expected_of(model, history, codes, family.beams, list(allowed))
        check_answer(result, exact, codes)
    except GenretError as e:
        return result, allowed, e
    return result, allowed, None


def count_invalid(result: Any, codes: Codes, allowed: np.ndarray) -> int:
    """Count answered items that do not exist, are not allowed, come twice or have other codes."""
    found = jax.tree.map(np.asarray, result)
    invalid = 0
    for request, mask in enumerate(allowed):
        items = found.items[request][found.valid[request]]
        spelt = found.codes[request][found.valid[request]]
        exist = (items >= 0) & (items < len(codes))
        safe = np.where(exist, items, 0)
        right = exist & mask[safe] & (codes[safe] == spelt).all(axis=-1)
        invalid += int((~right).sum()) + len(items) - len(np.unique(items))
    return invalid


def room_for(family: Family) -> TrieIndex:
    """Build an index in whose room every trie of the family fits, whatever its shape.

    Half of the items share one leaf, the others are spread: wide nodes, and many of them.
    """
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(0, v, family.items) for v in family.codes_per_level], axis=1)
    codes[: len(codes) // 2] = codes[-1]
    # Items in no order: their positions are stored, as those of any other order then can be.
    codes = rng.permutation(codes)
    return TrieIndex.from_codes(codes, codes_per_level=family.codes_per_level, reserve=3.0)


def random_trie(rng: np.random.Generator, family: Family) -> Codes:
    """Draw codes: any number of them, uniform, skewed, with long common prefixes or duplicates."""
    count = int(rng.choice([1, 2, family.items, rng.integers(1, family.items + 1)]))
    power = rng.choice([1.0, 3.0, 8.0])
    columns = [v * rng.random(count) ** power for v in family.codes_per_level]
    codes = np.stack(columns, axis=1).astype(np.int32)
    if rng.random() < 0.3:
        codes[:, : rng.integers(0, codes.shape[1])] = codes[0, 0] % min(family.codes_per_level)
    if rng.random() < 0.3:
        codes = codes[rng.integers(0, max(1, count // 3), count)]
    return codes


def random_model(rng: np.random.Generator, family: Family) -> GivenLogits:
    """Draw logits: fine ones, ones that make many equal scores, or many of probability 0."""
    kind = rng.choice(["fine", "coarse", "holes"])

    def draw(rows: int, codes: int) -> np.ndarray:
        logits = exact_logits(rng, rows, codes)
        if kind == "coarse":
            logits = np.where(logits < 0, np.floor(logits / 16) * 16 - 30, 0).astype(np.float32)
        if kind == "holes":
            logits[(logits < 0) & (rng.random(logits.shape) < 0.6)] = -np.inf
        return logits

    first, *later = family.codes_per_level
    shape = (BATCH, family.beams)
    rows = [jnp.asarray(draw(BATCH * family.beams, v).reshape(*shape, v)) for v in later]
    return GivenLogits(first=jnp.asarray(draw(5, first)), later=tuple(rows))


def restrictions(
    rng: np.random.Generator, family: Family, index: TrieIndex | LiveIndex, count: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Draw filters and seen items of ``count`` items; also return what is allowed, bool [B, N]."""
    if not family.restricted:
        return {}, np.ones((BATCH, count), bool)
    masks = rng.random((2, count)) < rng.choice([0.0, 0.1, 0.5, 1.0], (2, 1))
    seen = rng.integers(-1, count, (BATCH, SEEN)).astype(np.int32)
    filter_of = rng.integers(0, 2, BATCH).astype(np.int32)
    allowed = masks[filter_of]
    for request, items in enumerate(seen):
        allowed[request, items[items >= 0]] = False
    stack = FilterStack.of(index, [ItemFilter.from_mask(index, mask) for mask in masks])
    return {"filters": stack, "filter_of": filter_of, "exclude": seen}, allowed


def static_cases(static: Static | None) -> dict[str, Callable[[], Figures]]:
    """Search the cases that STATIC's code answers wrongly; ours has to answer exactly."""
    one_first = draw_codes(50, (64, 64, 64), seed=1)
    one_first[:, 0] = 5
    few, one, some = (draw_codes(n, (64, 64, 64), seed=n) for n in (5, 1, 30))
    cases: dict[str, tuple[Codes, int, int, int]] = {  # codes, V, M, STATIC's tokens per beam
        "1: items share the first code": (one_first, 64, 50, 10),
        "2: more beams than items": (few, 64, 10, 10),
        "2: one item": (one, 64, 4, 10),
        "3: dead beams": (some, 64, 40, 10),
        "4: many children of one beam": (draw_codes(50_000, (512,) * 3, seed=5), 512, 70, 30),
    }
    return {
        f"6 case {name}": functools.partial(_case, static, *case) for name, case in cases.items()
    }


def _case(
    static: Static | None, codes: Codes, num_codes: int, beams: int, tokens_per_beam: int
) -> Figures:
    sizes = {"items": len(codes), "codes": num_codes, "depth": 3, "batch": 2, "beams": beams}
    point = Point(**sizes)
    work = Workload.of(point, codes=CodeSet(point, drawn=codes))
    result = work.ours()
    work.check(result)
    invalid = count_invalid(result, work.catalog.codes, np.ones((2, len(codes)), bool))
    figures: Figures = {"invalid": invalid, "answers": int(np.asarray(result.valid).sum())}
    if static is None:
        return figures
    try:
        answers = np.asarray(work.theirs(static, tokens_per_beam))
    except Exception as e:  # whatever it raises is its answer
        return figures | {"static_error": f"{type(e).__name__}: {str(e)[:200]}"}
    return figures | {
        "static_invalid": int((~work.catalog.holds(answers)).sum()),
        "static_of_exact": work.of_exact(answers),
    }
