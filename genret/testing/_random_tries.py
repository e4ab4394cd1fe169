"""Random tries, logits and restrictions, and searches of them that are held against the oracle."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.decoding import beam_search
from genret.errors import GenretError
from genret.index import FilterStack, ItemFilter, LiveIndex, TrieIndex
from genret.testing._catalogs import random_codes
from genret.testing._given_logits import GivenLogits, exact_logits
from genret.testing._sorted_catalog import check_answer, expected_answers
from genret.typing import Bool, Codes

BATCH, SEEN = 2, 4


@dataclasses.dataclass(frozen=True)
class Family:
    """Tries that are searched by one program: each fits the room of the largest.

    Attributes:
      codes_per_level: codes of each level.
      items: |C| at most.
      beams: M.
      restricted: requests have filters and seen items.

    >>> rng = np.random.default_rng(0)
    >>> family = Family((5, 5), 20, 4, restricted=True)
    >>> codes = family.trie(rng)
    >>> index = TrieIndex.from_codes(codes, codes_per_level=(5, 5), like=family.room())
    >>> family.search(rng, index, codes)[2] is None  # the answer is that of brute force
    True
    """

    codes_per_level: tuple[int, ...]
    items: int
    beams: int
    restricted: bool = False

    def room(self) -> TrieIndex:
        """Build an index in whose room every trie of the family fits, whatever its shape.

        Half of the items share one leaf, the others are spread: wide nodes, and many of them.
        """
        codes = random_codes(self.items, self.codes_per_level)
        codes[: len(codes) // 2] = codes[-1]
        # Items in no order: their positions are stored, as those of any other order then can be.
        codes = np.random.default_rng(0).permutation(codes)
        return TrieIndex.from_codes(codes, codes_per_level=self.codes_per_level, reserve=3.0)

    def trie(self, rng: np.random.Generator) -> Codes:
        """Draw codes: any number of them, uniform, skewed, with long common prefixes or duplicates."""
        count = int(rng.choice([1, 2, self.items, int(rng.integers(1, self.items + 1))]))
        power = rng.choice([1.0, 3.0, 8.0])
        columns = [v * rng.random(count) ** power for v in self.codes_per_level]
        codes = np.stack(columns, axis=1).astype(np.int32)
        if rng.random() < 0.3:
            codes[:, : rng.integers(0, codes.shape[1])] = codes[0, 0] % min(self.codes_per_level)
        if rng.random() < 0.3:
            codes = codes[rng.integers(0, max(1, count // 3), count)]
        return codes

    def model(self, rng: np.random.Generator) -> GivenLogits:
        """Draw logits: fine ones, ones that make many equal scores, or many of probability 0."""
        kind = rng.choice(["fine", "coarse", "holes"])

        def draw(rows: int, codes: int) -> np.ndarray:
            logits = exact_logits(rng, rows, codes)
            if kind == "coarse":
                logits = np.where(logits < 0, np.floor(logits / 16) * 16 - 30, 0).astype(np.float32)
            if kind == "holes":
                logits[(logits < 0) & (rng.random(logits.shape) < 0.6)] = -np.inf
            return logits

        first, *later = self.codes_per_level
        rows = [draw(BATCH * self.beams, v).reshape(BATCH, self.beams, v) for v in later]
        return GivenLogits(first=jnp.asarray(draw(5, first)), later=tuple(map(jnp.asarray, rows)))

    def rules(
        self, rng: np.random.Generator, index: TrieIndex | LiveIndex, count: int
    ) -> tuple[dict[str, Any], Bool[np.ndarray, "B N"]]:
        """Draw filters and seen items of ``count`` items; also return what is allowed."""
        if not self.restricted:
            return {}, np.ones((BATCH, count), bool)
        masks = rng.random((2, count)) < rng.choice([0.0, 0.1, 0.5, 1.0], (2, 1))
        seen = rng.integers(-1, count, (BATCH, SEEN)).astype(np.int32)
        filter_of = rng.integers(0, 2, BATCH).astype(np.int32)
        allowed = masks[filter_of]
        for request, items in enumerate(seen):
            allowed[request, items[items >= 0]] = False
        stack = FilterStack.of(index, [ItemFilter.from_mask(index, mask) for mask in masks])
        return {"filters": stack, "filter_of": filter_of, "exclude": seen}, allowed

    def search(
        self,
        rng: np.random.Generator,
        index: TrieIndex | LiveIndex,
        codes: Codes,
        there: Bool[np.ndarray, "N"] | None = None,
    ) -> tuple[Any, Bool[np.ndarray, "B N"], GenretError | None]:
        """Search an index under drawn logits and restrictions.

        Args:
          rng: what draws.
          index: the index.
          codes: of its items, also of removed ones.
          there: the items that were not removed; None: all.

        Returns:
          The answer, what is allowed of each request, and how it differs from brute force's.
        """
        model = self.model(rng)
        options, allowed = self.rules(rng, index, len(codes))
        if there is not None:
            allowed = allowed & there
        history = rng.integers(0, len(model.first), BATCH).astype(np.int32)
        result = beam_search(model, history, index, beams=self.beams, **options)
        try:
            exact = expected_answers(model, history, codes, self.beams, list(allowed))
            check_answer(result, exact, codes)
        except GenretError as e:
            return result, allowed, e
        return result, allowed, None


def count_invalid(result: Any, codes: Codes, allowed: Bool[np.ndarray, "B N"]) -> int:
    """Count answered items that do not exist, are not allowed, come twice or have other codes.

    Args:
      result: of the search.
      codes: the semantic IDs by item position.
      allowed: the items that each request may be answered.
    """
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
"""Shapes of tries that are hard in different ways."""
