"""The oracle for large catalogs: an exact beam search over sorted semantic IDs, in NumPy.

It knows nothing of tries: beams are ranges of sorted semantic IDs, and every child is listed.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from genret.decoding import BeamResult
from genret.errors import GenretError
from genret.testing._given_logits import GivenLogits
from genret.typing import Bool, Codes, Float, Int

LogitsOfBeams = Callable[[int, np.ndarray, np.ndarray], np.ndarray]
"""(level, codes [m], parents [m] of the beams) -> their logits, float32 [m or more, V]."""

Answer = tuple[np.ndarray, np.ndarray]
"""Item positions of one request, best first, and their scores."""


@dataclasses.dataclass(frozen=True)
class RowBeams:
    """The beams of one request, best first: each is the rows [lo, hi) of a sorted catalog."""

    lo: Int[np.ndarray, "M"]
    hi: Int[np.ndarray, "M"]
    scores: Float[np.ndarray, "M"]

    def items(self, beams: int) -> Answer:
        """Return the rows below the beams, at most so many, and their scores."""
        below = [np.arange(*ends) for ends in zip(self.lo, self.hi, strict=True)]
        rows = np.concatenate([np.zeros(0, np.int64), *below])
        return rows[:beams], np.repeat(self.scores, self.hi - self.lo)[:beams]


@dataclasses.dataclass(frozen=True)
class SortedCatalog:
    """Sorted semantic IDs, and what is asked of them the slow and obvious way.

    Attributes:
      codes: sorted; equal rows are allowed.
      positions: the place of each row in the codes as they came.
      columns: the columns of ``codes``, each in one piece.

    >>> catalog = SortedCatalog.of(np.array([[3, 1], [0, 2], [3, 0]]))
    >>> catalog.positions.tolist(), catalog.holds(np.array([[3, 1], [3, 2]])).tolist()
    ([1, 2, 0], [True, False])
    """

    codes: Codes
    positions: Int[np.ndarray, "N"]
    columns: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, codes: Codes, allowed: Bool[np.ndarray, "N"] | None = None) -> "SortedCatalog":
        """Sort semantic IDs; equal ones stay in order. With a mask, those that it allows."""
        kept = np.arange(len(codes)) if allowed is None else np.flatnonzero(allowed)
        order = kept[np.lexsort(codes[kept].T[::-1])]
        in_order = codes[order]
        return cls(in_order, order, tuple(np.ascontiguousarray(column) for column in in_order.T))

    def holds(self, answers: Int[np.ndarray, "*rest L"]) -> Bool[np.ndarray, "*rest"]:
        """Say which semantic IDs are in the catalog."""
        found = np.zeros(answers.shape[:-1], bool)
        for where in np.ndindex(found.shape):
            lo, hi = 0, len(self.codes)
            for column, code in zip(self.columns, answers[where].tolist(), strict=True):
                # Of the column's type: another one would make NumPy copy the column.
                ends = np.array([code, code + 1], column.dtype)
                lo, hi = (lo + np.searchsorted(column[lo:hi], ends)).tolist()
            found[where] = lo < hi
        return found

    def search(
        self,
        logits_of: LogitsOfBeams,
        beams: int,
        levels: int | None = None,
        *,
        legal: bool = False,
    ) -> RowBeams:
        """Search for one request.

        Args:
          logits_of: the model of the request.
          beams: M.
          levels: levels after which it ends; None: all.
          legal: normalize log-probabilities over the legal children, not over all codes.

        Returns:
          The beams then.
        """
        state = RowBeams(np.array([0]), np.array([len(self.codes)]), np.zeros(1, np.float32))
        codes, parents = np.zeros(1, np.int32), np.zeros(1, np.int32)
        for level, column in enumerate(self.columns[:levels]):
            if not len(state.lo) or not len(column):
                return RowBeams(state.lo[:0], state.hi[:0], state.scores[:0])
            logits = logits_of(level, codes, parents)
            first = [  # of the rows of each child of each beam
                np.append(0, np.flatnonzero(np.diff(column[lo:hi])) + 1) + lo
                for lo, hi in zip(state.lo.tolist(), state.hi.tolist(), strict=True)
            ]
            starts, counts = np.concatenate(first), [len(of_beam) for of_beam in first]
            beam = np.repeat(np.arange(len(first)), counts)
            new = np.append(True, beam[1:] != beam[:-1])
            last = np.append(new[1:], True)
            ends = np.where(last, state.hi[beam], np.append(starts[1:], 0))
            values = logits[beam, column[starts]]
            if legal:
                normalizer = np.logaddexp.reduceat(values, np.flatnonzero(new))
            else:  # in float32: double precision would see the 1e-9 that the others round away
                largest = logits.max(axis=-1)
                normalizer = largest + np.log(np.exp(logits - largest[:, None]).sum(axis=-1))
            scores = state.scores[beam] + (values - normalizer[beam])
            best = _stable_best(scores, beams)
            best = best[scores[best] > -np.inf]  # what has probability 0 is no candidate
            state = RowBeams(starts[best], ends[best], scores[best])
            codes, parents = column[starts[best]], beam[best]
        return state


def given(model: GivenLogits, history: np.ndarray, request: int) -> LogitsOfBeams:
    """Return the logits of one request of a model whose logits are given.

    Args:
      model: the model.
      history: int32 [B].
      request: which of them.
    """
    first = np.asarray(model.first)[history[request]][None]
    return lambda level, *_: first if level == 0 else np.asarray(model.later[level - 1][request])


def expected_answers(
    model: GivenLogits,
    history: np.ndarray,
    codes: Codes,
    beams: int,
    allowed: Sequence[np.ndarray] | None = None,
) -> list[Answer]:
    """Return the exact answer of each request.

    Args:
      model: the logits.
      history: of the requests, int32 [B].
      codes: the semantic IDs by item position, in any order.
      beams: M.
      allowed: bool [N] for each request; None: every item.
    """
    catalog = SortedCatalog.of(codes)
    found = []
    for request in range(len(history)):
        some = catalog if allowed is None else SortedCatalog.of(codes, allowed[request])
        rows, scores = some.search(given(model, history, request), beams).items(beams)
        found.append((some.positions[rows], scores))
    return found


def check_answer(result: BeamResult, expected: Sequence[Answer], codes: Codes) -> None:
    """Refuse an answer that is not the exact one: items, order, codes, scores and padding.

    Args:
      result: the answer.
      expected: the exact one of each request.
      codes: the semantic IDs by item position.

    Raises:
      GenretError: another answer.
    """
    found: Any = jax.tree.map(np.asarray, result)
    for request, (items, scores) in enumerate(expected):
        count, beams = len(items), found.items.shape[1]
        wanted = {
            "items": np.pad(items, (0, beams - count), constant_values=-1),
            "scores": np.pad(scores, (0, beams - count), constant_values=-np.inf),
            "codes": np.full((beams, codes.shape[1]), -1),
            "valid": np.arange(beams) < count,
        }
        wanted["codes"][:count] = codes[items]
        for name, right in wanted.items():
            own = getattr(found, name)[request]
            wrong = (own != right).reshape(beams, -1).any(axis=1)
            if wrong.any():
                rank = int(np.argmax(wrong))
                raise GenretError(
                    f"answer: {name} of request {request}, rank {rank}: found "
                    f"{own[rank].tolist()}, expected {right[rank].tolist()} "
                    f"({int(wrong.sum())} of {beams} ranks differ)"
                )


def _stable_best(values: np.ndarray, count: int) -> np.ndarray:
    """Return where the largest values are, the first of equal ones first."""
    kept = np.arange(len(values))
    if len(values) > count:
        threshold = np.partition(values, len(values) - count)[len(values) - count]
        kept = np.flatnonzero(values >= threshold)
    return kept[np.argsort(-values[kept], kind="stable")][:count]
