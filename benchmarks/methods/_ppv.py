"""Parallel prefix verification (DISC, arXiv 2504.09135): binary searches in the sorted codes.

The published method finds the rows of each beam's prefix anew at every step, and checks all codes, or
the best few only (it then misses what is legal and further down). ``IncrementalPPV`` is the stronger
one that nobody measures: each beam carries its rows, and only one column is searched.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.methods._base import (
    Beams,
    DeviceMethod,
    at,
    best_of,
    edges_of,
    log_probabilities,
    masked_step,
    of_parents,
    root,
)
from genret.typing import Array, Codes, Float

APPROXIMATE = 50
"""Codes that the approximate method checks: the published number."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class PPV(DeviceMethod):
    """Search the prefix, then every code behind it.

    Attributes:
      columns: for each level, int32 [N]: the codes of the sorted items.
    """

    columns: tuple[Any, ...]

    name: ClassVar[str] = "ppv-exact"
    checked: ClassVar[int | None] = None

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        """Put the columns on the device."""
        del codes_per_level
        return cls(columns=tuple(jnp.asarray(np.ascontiguousarray(c, np.int32)) for c in codes.T))

    def start(self, batch: int) -> Beams:
        """Return one beam a request; its codes are its place."""
        return root(batch, None)

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        """Check the codes behind each prefix."""
        column, size = self.columns[beams.level], self.columns[0].size
        lo = _bisect(
            lambda row: ~self._before(row, beams.codes, 0), 0, size, beams.scores.shape, size
        )
        hi = _bisect(
            lambda row: ~self._before(row, beams.codes, 1), 0, size, beams.scores.shape, size
        )
        log_p = log_probabilities(logits)
        log_p = jnp.broadcast_to(log_p, (*beams.scores.shape, log_p.shape[-1]))
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
        return best_of(scores, codes, beams, width)[0]

    def _before(self, row: Array, prefix: Array, of_equal: int) -> Array:
        """Say whether a row comes before the prefix; of a row that begins with it: ``of_equal``."""
        before = jnp.full(row.shape, bool(of_equal))
        for level in range(prefix.shape[-1] - 1, -1, -1):
            own = self.columns[level].at[row].get(mode="clip")
            before = (own < prefix[..., level]) | ((own == prefix[..., level]) & before)
        return before


class ApproximatePPV(PPV):
    """Check the best 50 codes of each beam only."""

    name = "ppv-top50"
    exact = False
    checked = APPROXIMATE


jax.tree_util.register_dataclass(ApproximatePPV, ["columns"], [])


@partial(jax.tree_util.register_dataclass, data_fields=("columns",), meta_fields=("most_rows",))
@dataclasses.dataclass(frozen=True, kw_only=True)
class IncrementalPPV(DeviceMethod):
    """Each beam carries its rows; all codes are searched among them.

    Attributes:
      columns: for each level, int32 [N].
      most_rows: for each level, rows of its node that has the most.
    """

    columns: tuple[Any, ...]
    most_rows: tuple[int, ...]

    name: ClassVar[str] = "ppv-incremental"

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        """Put the columns on the device and measure the nodes."""
        del codes_per_level
        most = [len(codes)]
        for rows, _, _ in edges_of(codes)[:-1]:
            most.append(int(np.diff(rows, append=len(codes)).max()))
        columns = tuple(jnp.asarray(np.ascontiguousarray(c, np.int32)) for c in codes.T)
        return cls(columns=columns, most_rows=tuple(most))

    def start(self, batch: int) -> Beams:
        """Return one beam a request; a place is the rows [lo, hi)."""
        lo = jnp.zeros((batch, 1), jnp.int32)
        return root(batch, (lo, lo + self.columns[0].size))

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        """Search where each code's rows begin among the beam's own."""
        column, (lo, hi) = self.columns[beams.level], beams.place
        num_codes = logits.shape[-1]
        # The rows of a code end where those of the next one begin.
        codes = jnp.arange(num_codes + 1, dtype=jnp.int32)[None, None]
        bounds = _bisect(
            lambda row: column.at[row].get(mode="clip") >= codes,
            lo[..., None], hi[..., None], (*lo.shape, num_codes + 1), self.most_rows[beams.level],
        )  # fmt: skip
        begin, end = bounds[..., :-1], bounds[..., 1:]
        chosen, number = masked_step(logits, end > begin, beams, width)
        flat = [x.reshape(x.shape[0], -1) for x in (begin, end)]
        lo, hi = of_parents(flat, number)
        dead = chosen.scores == -jnp.inf
        return at(chosen, (jnp.where(dead, 0, lo), jnp.where(dead, 0, hi)))


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
