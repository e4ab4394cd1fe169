"""Parallel prefix verification (DISC, arXiv 2504.09135): binary searches in the sorted codes.

The published method finds the rows of each beam's prefix anew at every step, and checks all codes, or
the best few only (it then misses what is legal and further down). ``IncrementalPPV`` is the stronger
one that nobody measures: each beam carries its rows, and only one column is searched.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.methods import _base as base
from benchmarks.methods._base import Beams, Method
from genret.pytree import register_pytree, static_field
from genret.typing import Array, Codes, Float, Int

APPROXIMATE = 50
"""Codes that the approximate method checks: the published number."""


def _columns(codes: Codes) -> tuple[Any, ...]:
    return tuple(jnp.asarray(np.ascontiguousarray(column, np.int32)) for column in codes.T)


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class PPV(Method):
    """Search the prefix, then every code behind it."""

    columns: tuple[Int[Array, "N"], ...]  # the codes of the sorted items, for each level

    name: ClassVar[str] = "ppv-exact"
    checked: ClassVar[int | None] = None

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        return cls(columns=_columns(codes))

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        column, size, shape = self.columns[beams.level], self.columns[0].size, beams.scores.shape
        lo, hi = (
            _bisect(
                lambda row, e=of_equal: ~self._before(row, beams.codes, e), 0, size, shape, size
            )
            for of_equal in (False, True)
        )
        log_p = base.log_probabilities(logits)
        log_p = jnp.broadcast_to(log_p, (*shape, log_p.shape[-1]))
        if self.checked is None or self.checked >= log_p.shape[-1]:
            codes = jnp.broadcast_to(jnp.arange(log_p.shape[-1], dtype=jnp.int32), log_p.shape)
        else:
            codes = jnp.sort(jax.lax.top_k(log_p, self.checked)[1].astype(jnp.int32), axis=-1)
            log_p = jnp.take_along_axis(log_p, codes, axis=-1)
        row = _bisect(
            lambda row: column.at[row].get(mode="clip") >= codes,
            lo[..., None], hi[..., None], codes.shape, size,
        )  # fmt: skip
        legal = (row < hi[..., None]) & (column.at[row].get(mode="clip") == codes)
        scores = jnp.where(legal, beams.scores[..., None] + log_p, -jnp.inf)
        return base.best_of(scores, codes, beams, width)[0]

    def _before(self, row: Array, prefix: Array, of_equal: bool) -> Array:
        """Say whether a row comes before the prefix; of a row that begins with it: ``of_equal``."""
        before = jnp.full(row.shape, of_equal)
        for level in range(prefix.shape[-1] - 1, -1, -1):
            own = self.columns[level].at[row].get(mode="clip")
            before = (own < prefix[..., level]) | ((own == prefix[..., level]) & before)
        return before


@register_pytree
class ApproximatePPV(PPV):
    """Check the best 50 codes of each beam only."""

    name = "ppv-top50"
    exact = False
    checked = APPROXIMATE


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class IncrementalPPV(Method):
    """Each beam carries its rows; all codes are searched among them."""

    columns: tuple[Int[Array, "N"], ...]
    most_rows: tuple[int, ...] = static_field()  # of a node, for each level

    name: ClassVar[str] = "ppv-incremental"

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        nodes = [rows for rows, _, _ in base.edges_of(codes)[:-1]]
        most = [int(np.diff(rows, append=len(codes)).max()) for rows in nodes]
        return cls(columns=_columns(codes), most_rows=(len(codes), *most))

    def root(self, zeros: Int[Array, "B 1"]) -> tuple[Array, Array]:
        return zeros, zeros + self.columns[0].size

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        column, (lo, hi) = self.columns[beams.level], beams.place
        # The rows of a code end where those of the next one begin.
        codes = jnp.arange(logits.shape[-1] + 1, dtype=jnp.int32)[None, None]
        bounds = _bisect(
            lambda row: column.at[row].get(mode="clip") >= codes, lo[..., None], hi[..., None],
            (*lo.shape, logits.shape[-1] + 1), self.most_rows[beams.level],
        )  # fmt: skip
        rows = bounds[..., :-1], bounds[..., 1:]
        chosen, number = base.masked_step(logits, rows[1] > rows[0], beams, width)
        dead = chosen.scores == -jnp.inf
        return chosen.at(tuple(jnp.where(dead, 0, x) for x in base.take(rows, number)))


def _bisect(
    reached: Callable[[Array], Array], lo: Any, hi: Any, shape: tuple[int, ...], most: int
) -> Array:
    """Return the first row of [lo, hi) from which on a predicate holds; ``hi`` where it never does."""
    bounds = tuple(jnp.broadcast_to(jnp.asarray(x, jnp.int32), shape) for x in (lo, hi))

    def halve(_: Any, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        lo, hi = bounds
        middle = lo + (hi - lo) // 2
        here = reached(middle)
        open_ = lo < hi
        return jnp.where(open_ & ~here, middle + 1, lo), jnp.where(open_ & here, middle, hi)

    return jax.lax.fori_loop(0, most.bit_length(), halve, bounds)[0]
