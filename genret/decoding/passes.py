"""The children of a ragged level, end to end: they are seen in passes of a fixed width."""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from genret.decoding.readout import Draw, Scored, log_probs_to_scores
from genret.index.levels import RaggedLevel
from genret.index.levels.ragged import Runs
from genret.index.nodes import NodeRange, take_beams
from genret.index.restriction import Restriction
from genret.typing import Array, Float, Int

Tree = TypeVar("Tree")

Best = tuple[Array, Array, Array, Array]
"""Scores, keys, parents and edges of the best children."""

Skip = Callable[[Array, Array], Array]
"""Says of children, by beam and code, int32 [B, C], which are to be left out, bool [B, C]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Passes:
    """The children of all requests at a ragged level, ``width`` of each request at a time.

    A padded array would be as wide as the widest node for every beam. Passes over a fixed number of
    children go on until each request has seen all of its own.

    Attributes:
      level: the level.
      runs: the children, end to end.
      scored: the beams' scores and readouts.
      restriction: what the requests may not be answered; None forbids nothing.
      width: children of a request and pass.
      skip: which children to leave out; None: none.
    """

    level: RaggedLevel
    runs: Runs
    scored: Scored
    restriction: Restriction | None
    width: int
    skip: Skip | None

    @classmethod
    def over(
        cls,
        level: RaggedLevel,
        nodes: NodeRange,
        scored: Scored,
        restriction: Restriction | None,
        beams: int,
        skip: Skip | None = None,
    ) -> "Passes":
        """Return the passes over the children of beams, each of at least ``beams`` children."""
        layout = level.layout
        return cls(
            level=level,
            runs=level.runs(nodes, restriction),
            scored=scored,
            restriction=restriction,
            width=max(layout.least_pass, beams, layout.width * nodes.lo.shape[1]),
            skip=skip,
        )

    def best(
        self, beams: int, draw: Draw | None
    ) -> tuple[
        Float[Array, "B beams"],
        Float[Array, "B beams"],
        Int[Array, "B beams"],
        Int[Array, "B beams"],
    ]:
        """Return scores, keys, parents and edges of the best children.

        Args:
          beams: how many.
          draw: the randomness of a sampling search; None: the best are chosen, and keys are scores.
        """
        normalizer = self._given_normalizer()
        largest = None
        if draw is not None:
            largest = self.largest(draw) if draw.largest is None else draw.largest

        def merge(part: Array, best: Best) -> Best:
            beam, edge, logits = self._children(part)
            scores = keys = self._scores(normalizer, beam, logits)
            if draw is not None and largest is not None:
                drawn = scores + draw.noise((self.width,), part)
                keys = draw.condition(
                    drawn, take_beams(largest, beam), take_beams(draw.parents, beam)
                )
            # Those of earlier passes come first, so equal keys stay in the order of beam and code.
            joined = [
                jnp.concatenate(pair, 1)
                for pair in zip(best, (scores, keys, beam, edge), strict=True)
            ]
            _, where = jax.lax.top_k(joined[1], beams)
            scores, keys, parents, edges = (take_beams(values, where) for values in joined)
            return scores, keys, parents, edges

        batch = self.runs.begin.shape[0]
        nothing = jnp.full((batch, beams), -jnp.inf, jnp.float32)
        nowhere = jnp.zeros((batch, beams), jnp.int32)
        return self._each(merge, (nothing, nothing, nowhere, nowhere))

    def normalizer(self) -> Float[Array, "B M"]:
        """Return the logsumexp of the logits of each beam's children; -inf: it has none."""
        request = self._request

        def see(part: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            largest, total = carry
            beam, _, logits = self._children(part)
            new = largest.at[request, beam].max(logits)
            shift = jnp.where(jnp.isfinite(new), new, 0)
            total = total * jnp.exp(jnp.where(jnp.isfinite(largest), largest - shift, -jnp.inf))
            more = jnp.exp(logits - take_beams(shift, beam))
            return new, total.at[request, beam].add(more)

        base = self.scored.base
        largest, total = self._each(see, (jnp.full_like(base, -jnp.inf), jnp.zeros_like(base)))
        return jnp.where(jnp.isfinite(largest), largest, 0) + jnp.log(total)

    def largest(self, draw: Draw) -> Float[Array, "B M"]:
        """Return the largest ``phi + Gumbel`` of the children of each beam; -inf: it has none."""
        normalizer, request = self._given_normalizer(), self._request

        def see(part: Array, largest: Array) -> Array:
            beam, _, logits = self._children(part)
            drawn = self._scores(normalizer, beam, logits) + draw.noise((self.width,), part)
            return largest.at[request, beam].max(drawn)

        return self._each(see, jnp.full_like(self.scored.base, -jnp.inf))

    def _each(self, body: Callable[[Array, Tree], Tree], start: Tree) -> Tree:
        """Carry a value over the passes: ``body(part, value)``."""
        total = self.runs.until[:, -1].max()

        def step(carry: tuple[Array, Tree]) -> tuple[Array, Tree]:
            part, values = carry
            return part + 1, body(part, values)

        def going(carry: tuple[Array, Tree]) -> Array:
            return carry[0] * self.width < total

        return jax.lax.while_loop(going, step, (jnp.zeros((), jnp.int32), start))[1]

    def _children(
        self, part: Int[Array, ""]
    ) -> tuple[Int[Array, "B C"], Int[Array, "B C"], Float[Array, "B C"]]:
        """Return beam, edge and logit of the children of a pass; -inf: forbidden."""
        beam, edge, legal = self.level.some_children(
            self.runs, self.restriction, part * self.width, self.width
        )
        codes = self.level.codes_at(edge)
        if self.skip is not None:
            legal &= ~self.skip(beam, codes)
        logits = self.scored.logits_of_beams(beam, codes)
        return beam, edge, jnp.where(legal, logits, -jnp.inf)

    def _scores(
        self, normalizer: Float[Array, "B M"], beam: Int[Array, "B C"], logits: Float[Array, "B C"]
    ) -> Float[Array, "B C"]:
        base = take_beams(self.scored.base, beam)
        return log_probs_to_scores(logits, base, take_beams(normalizer, beam))

    def _given_normalizer(self) -> Float[Array, "B M"]:
        """Return the normalizer that was given, or that of the children here."""
        given = self.scored.normalizer
        return self.scored.per_beam(self.normalizer() if given is None else given)

    @property
    def _request(self) -> Int[Array, "B 1"]:
        return jnp.arange(self.runs.begin.shape[0], dtype=jnp.int32)[:, None]
