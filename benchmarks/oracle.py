"""The exact answer of a constrained beam search, the slow and obvious way, in NumPy.

It knows nothing of tries: beams are ranges of sorted semantic IDs, and every child is listed.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.draws import GivenLogits
from genret.decoding import BeamResult
from genret.errors import GenretError
from genret.typing import Bool, Codes, Float, Int

LogitsOf = Callable[[int, np.ndarray, np.ndarray], np.ndarray]
"""(level, codes [m], parents [m] of the beams) -> their logits, float32 [m or more, V]."""

Answer = tuple[np.ndarray, np.ndarray]
"""Item positions of one request, best first, and their scores."""


@dataclasses.dataclass(frozen=True)
class Beams:
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
class Catalog:
    """Sorted semantic IDs, on the host."""

    codes: Codes  # sorted; equal rows are allowed
    positions: Int[np.ndarray, "N"]  # the place of each row in the codes as they came
    columns: tuple[np.ndarray, ...]  # the columns of ``codes``, each in one piece

    @classmethod
    def of(cls, codes: Codes, allowed: Bool[np.ndarray, "N"] | None = None) -> "Catalog":
        """Sort semantic IDs; equal ones stay in order. With a mask, those that it allows."""
        kept = np.arange(len(codes)) if allowed is None else np.flatnonzero(allowed)
        order = kept[lexicographic_order(codes[kept])] if len(kept) else kept
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
        self, logits_of: LogitsOf, beams: int, levels: int | None = None, *, legal: bool = False
    ) -> Beams:
        """Return the beams of an exact beam search after some levels (None: all).

        With ``legal``, log-probabilities are normalized over the legal children.
        """
        state = Beams(np.array([0]), np.array([len(self.codes)]), np.zeros(1, np.float32))
        codes, parents = np.zeros(1, np.int32), np.zeros(1, np.int32)
        for level, column in enumerate(self.columns[:levels]):
            if not len(state.lo) or not len(column):
                return Beams(state.lo[:0], state.hi[:0], state.scores[:0])
            logits = logits_of(level, codes, parents)
            starts, beam = _children(column, state)
            ends = np.append(starts[1:], 0)
            last = np.append(beam[1:] != beam[:-1], True)
            ends[last] = state.hi[beam[last]]
            values = logits[beam, column[starts]]
            if legal:
                first = np.flatnonzero(np.append(True, beam[1:] != beam[:-1]))
                normalizer = np.logaddexp.reduceat(values, first)
            else:
                normalizer = _logsumexp(logits)
            scores = state.scores[beam] + (values - normalizer[beam])
            best = _stable_best(scores, beams)
            best = best[scores[best] > -np.inf]  # what has probability 0 is no candidate
            state = Beams(starts[best], ends[best], scores[best])
            codes, parents = column[starts[best]], beam[best]
        return state

    def hits(self, answers: Codes, beams: Beams) -> int:
        """Count the semantic IDs of the beams that are among the answers."""
        right = set(map(tuple, self.codes[beams.lo].tolist()))
        return len(right & set(map(tuple, answers.tolist())))


def lexicographic_order(codes: Codes) -> Int[np.ndarray, "N"]:
    """Return the stable order of the rows: ``np.lexsort`` of the columns, but several in a key."""
    bits = max(1, int(codes.max()).bit_length())
    each = 63 // bits
    keys = []
    for begin in range(0, codes.shape[1], each):
        key = np.zeros(len(codes), np.int64)
        for level in range(begin, min(begin + each, codes.shape[1])):
            key <<= bits
            key |= codes[:, level]
        keys.append(key)
    return np.lexsort(keys[::-1])


def given(model: GivenLogits, history: np.ndarray, request: int) -> LogitsOf:
    """Return the logits of one request of a model whose logits are given."""
    first = np.asarray(model.first)[history[request]][None]
    return lambda level, *_: first if level == 0 else np.asarray(model.later[level - 1][request])


def stepped(model: Any, history: Any, beams: int) -> LogitsOf:
    """Return the logits of the only request of a history, by stepping any model."""
    cache: Any = None

    def logits_of(level: int, codes: np.ndarray, parents: np.ndarray) -> np.ndarray:
        nonlocal cache
        if level == 0:
            logits, cache = model.prefill(history)
        else:
            padded = np.zeros((2, 1, beams), np.int32)
            padded[:, 0, : len(codes)] = codes, parents
            logits, cache = model.step(jnp.asarray(padded[0]), jnp.asarray(padded[1]), cache)
        return np.asarray(logits[0])

    return logits_of


def expected_of(
    model: GivenLogits,
    history: np.ndarray,
    codes: Codes,
    beams: int,
    allowed: Sequence[np.ndarray] | None = None,
) -> list[Answer]:
    """Return the exact answer of each request.

    Args:
      model: the logits.
      history: of the requests.
      codes: the semantic IDs by item position, in any order.
      beams: M.
      allowed: bool [N] for each request; None: every item.
    """
    catalog = Catalog.of(codes)
    found = []
    for request in range(len(history)):
        some = catalog if allowed is None else Catalog.of(codes, allowed[request])
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
    found = jax.tree.map(np.asarray, result)
    for request, (items, scores) in enumerate(expected):
        count, beams = len(items), found.items.shape[1]
        wanted = {
            "items": np.pad(items, (0, beams - count), constant_values=-1),
            "scores": np.pad(scores, (0, beams - count), constant_values=-np.inf),
            "codes": np.pad(codes[items], ((0, beams - count), (0, 0)), constant_values=-1),
            "valid": np.arange(beams) < count,
        }
        for name, right in wanted.items():
            given_ = getattr(found, name)[request]
            wrong = (given_ != right).reshape(beams, -1).any(axis=1)
            if wrong.any():
                rank = int(np.argmax(wrong))
                raise GenretError(
                    f"answer: {name} of request {request}, rank {rank}: found "
                    f"{given_[rank].tolist()}, expected {right[rank].tolist()} "
                    f"({int(wrong.sum())} of {beams} ranks differ)"
                )


def check_near(result: BeamResult, expected: Sequence[Answer]) -> None:
    """Refuse an answer that is not the exact one to within rounding.

    For scores that depend on the order of additions: where two of them are nearly equal, either
    may be first, and what follows from it may differ. At least 95 % of the items must be there.

    Raises:
      GenretError: another answer.
    """
    found = jax.tree.map(np.asarray, result)
    for request, (items, scores) in enumerate(expected):
        answer = dict(zip(found.items[request].tolist(), found.scores[request], strict=True))
        theirs = np.array([answer.get(item, np.inf) for item in items.tolist()])
        right = int((abs(theirs - scores) < 1e-3).sum())
        if right < 0.95 * len(items) or int(found.valid[request].sum()) != len(items):
            raise GenretError(
                f"answer: request {request}: found {right} of the {len(items)} exact items"
            )


def _children(column: np.ndarray, state: Beams) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row of each child of each beam, and the beam."""
    starts = []
    for begin, end in zip(state.lo.tolist(), state.hi.tolist(), strict=True):
        part = column[begin:end]
        starts.append(np.append(0, np.flatnonzero(part[1:] != part[:-1]) + 1) + begin)
    return np.concatenate(starts), np.repeat(np.arange(len(starts)), [len(s) for s in starts])


def _stable_best(values: np.ndarray, count: int) -> np.ndarray:
    """Return where the largest values are, the first of equal ones first."""
    kept = np.arange(len(values))
    if len(values) > count:
        threshold = np.partition(values, len(values) - count)[len(values) - count]
        kept = np.flatnonzero(values >= threshold)
    return kept[np.argsort(-values[kept], kind="stable")][:count]


def _logsumexp(logits: np.ndarray) -> np.ndarray:
    # In float32: double precision would see the 1e-9 that the others round away, and break ties.
    largest = logits.max(axis=-1)
    return largest + np.log(np.exp(logits - largest[:, None]).sum(axis=-1))
