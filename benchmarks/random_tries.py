"""Bar 6: random tries and logits against the exact search, and the cases that STATIC answers wrongly."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.draws import GivenLogits, draw_codes, exact_logits, given_logits
from benchmarks.methods.static_code import Static
from benchmarks.oracle import Catalog, check_answer, expected_of, given
from benchmarks.record import Figures
from benchmarks.timing import count_compilations
from genret import ItemFilter, TrieIndex, beam_search
from genret.errors import GenretError
from genret.index import FilterStack
from genret.typing import Codes


@dataclasses.dataclass(frozen=True)
class Family:
    """Tries that are searched by one program: each fits the room of the largest.

    Attributes:
      codes_per_level: codes of each level.
      items: |C| at most.
      beams: M.
      restricted: whether requests have filters and seen items.
    """

    codes_per_level: tuple[int, ...]
    items: int
    beams: int
    restricted: bool = False


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
    """Compare so many answers with the exact ones."""
    each = -(-tries // len(families))
    return {
        f"6 soak: {each} tries of {family}": functools.partial(run, family, each, seed)
        for seed, family in enumerate(families)
    }


def run(family: Family, tries: int, seed: int) -> Figures:
    """Search random tries of a family; count wrong answers and invalid items."""
    rng = np.random.default_rng([6, seed])
    build = functools.partial(TrieIndex.from_codes, codes_per_level=family.codes_per_level)
    room = room_for(family)
    figures: Figures = {"tries": tries, "wrong": 0, "invalid": 0, "padded": 0, "first_wrong": None}
    with count_compilations() as counts:
        for number in range(tries):
            codes = random_trie(rng, family)
            model = random_model(rng, family)
            index = build(codes, like=room)
            options, allowed = restrictions(rng, family, index)
            history = rng.integers(0, len(model.first), BATCH).astype(np.int32)
            result = beam_search(model, history, index, beams=family.beams, **options)
            figures["padded"] += int((~np.asarray(result.valid)).any())
            figures["invalid"] += count_invalid(result, codes, allowed)
            expected = expected_of(model, history, codes, family.beams, allowed)
            try:
                check_answer(result, expected, codes)
            except GenretError as e:
                figures["wrong"] += 1
                figures["first_wrong"] = figures["first_wrong"] or f"try {number}: {e}"
    return figures | {"compiled": counts.compiled}


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
        _, first = np.unique(items, return_index=True)
        invalid += int((~right).sum()) + len(items) - len(first)
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
    codes = np.stack(
        [(v * rng.random(count) ** power).astype(np.int32) for v in family.codes_per_level], axis=1
    )
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
    return GivenLogits(
        first=jnp.asarray(draw(5, first)),
        later=tuple(
            jnp.asarray(draw(BATCH * family.beams, v).reshape(BATCH, family.beams, v))
            for v in later
        ),
    )


def restrictions(
    rng: np.random.Generator, family: Family, index: TrieIndex
) -> tuple[dict[str, Any], np.ndarray]:
    """Draw filters and seen items; also return what is allowed, bool [B, N]."""
    count = index.num_items
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
    cases: dict[str, tuple[Codes, int, int, int]] = {
        "1: items share the first code": (one_first, 64, 50, 10),
        "2: more beams than items": (draw_codes(5, (64, 64, 64), seed=2), 64, 10, 10),
        "2: one item": (draw_codes(1, (64, 64, 64), seed=3), 64, 4, 10),
        "3: dead beams": (draw_codes(30, (64, 64, 64), seed=4), 64, 40, 10),
        "4: many children of one beam": (draw_codes(50_000, (512,) * 3, seed=5), 512, 70, 30),
    }
    return {
        f"6 case {name}": functools.partial(_case, static, number, *case)
        for number, (name, case) in enumerate(cases.items())
    }


def _case(
    static: Static | None, seed: int, codes: Codes, num_codes: int, beams: int, tokens_per_beam: int
) -> Figures:
    catalog = Catalog.of(codes)
    codes = catalog.codes
    per_level = (num_codes,) * codes.shape[1]
    model, history = given_logits(2, beams, per_level, seed=seed)
    index = TrieIndex.from_codes(codes, codes_per_level=per_level)
    result = beam_search(model, history, index, beams=beams)
    check_answer(result, expected_of(model, history, codes, beams), codes)
    invalid = count_invalid(result, codes, np.ones((2, len(codes)), bool))
    figures: Figures = {"invalid": invalid, "answers": int(np.asarray(result.valid).sum())}
    if static is None:
        return figures
    try:
        rival = static.index(codes, num_codes)
        answers = np.asarray(static.decode(model, history, rival, beams, tokens_per_beam))
    except Exception as e:  # whatever it raises is its answer
        return figures | {"static_error": f"{type(e).__name__}: {str(e)[:200]}"}
    right = set(map(tuple, codes[catalog.search(given(model, history, 0), beams).lo].tolist()))
    return figures | {
        "static_invalid": int((~catalog.holds(answers)).sum()),
        "static_of_exact": len(right & set(map(tuple, answers[0].tolist()))) / len(right),
    }
