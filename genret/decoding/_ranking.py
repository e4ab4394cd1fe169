"""What candidates are ranked by, their log-probability or a draw without replacement; the best."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from genret.decoding._readout import Scored, logsumexp
from genret.decoding._state import take_beams
from genret.decoding._topk import top_candidates
from genret.typing import Array, Float, Int


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("bits", "parents", "largest"),
    meta_fields=("generator",),
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class Draw:
    """The randomness of a level of a stochastic beam search (Kool et al. 2019, arXiv 1903.06059).

    Each item gets its log-probability plus a Gumbel variable of its own; the M largest are a sample
    of M items without replacement. Variables of items need not be drawn: that of a node is the
    largest of the items below it, so a node with the key ``k`` and children of log-probabilities
    ``phi`` draws ``g = phi + Gumbel`` for them and conditions on ``max(g) = k``:

        key(child) = -log(exp(-k) - exp(-max(g)) + exp(-g)).

    Attributes:
      bits: uint32 [B, ...], a key of ``jax.random`` for each request at this level.
      parents: float32 [B, M], the keys of the beams.
      largest: float32 [B, M], ``max(g)`` of each beam; None: that of the children at hand.
      generator: of the keys.
    """

    bits: Any
    parents: Any
    largest: Any
    generator: Any

    @classmethod
    def at_level(cls, keys: Any, level: int, parents: Float[Array, "B M"]) -> "Draw":
        """Return the randomness of a level; ``keys``: a key of each request."""
        return cls(
            bits=jax.random.key_data(_folded(keys, level)),
            parents=parents,
            largest=None,
            generator=jax.random.key_impl(keys),
        )

    def of_segment(self, number: int) -> "Draw":
        """Return the randomness of a segment: its children draw for themselves."""
        keys = jax.random.wrap_key_data(self.bits, impl=self.generator)
        return dataclasses.replace(self, bits=jax.random.key_data(_folded(keys, number)))

    def noise(self, shape: tuple[int, ...], part: Any = 0) -> Float[Array, "B *shape"]:
        """Return Gumbel variables, a request's ``shape``; the same ones for the same part."""
        keys = jax.random.wrap_key_data(self.bits, impl=self.generator)
        return jax.vmap(lambda key: jax.random.gumbel(jax.random.fold_in(key, part), shape))(keys)

    @staticmethod
    def condition(
        drawn: Float[Array, "*shape"],
        largest: Float[Array, "*#shape"],
        parent: Float[Array, "*#shape"],
    ) -> Float[Array, "*shape"]:
        """Return the keys of children.

        Args:
          drawn: ``phi + Gumbel`` of each child; -inf: no child.
          largest: the largest of those of its siblings and itself.
          parent: the key of its parent.
        """
        # As in the paper's appendix: stable where all are far from 0.
        gap = parent - drawn + jnp.log1p(-jnp.exp(jnp.minimum(drawn - largest, 0)))
        keys = parent - jnp.maximum(gap, 0) - jnp.log1p(jnp.exp(-jnp.abs(gap)))
        keys = jnp.where(drawn == largest, parent, keys)
        return jnp.where(drawn > -jnp.inf, keys, -jnp.inf)


def _folded(keys: Any, number: int) -> Any:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)


def largest_drawn(scored: Scored, logits: Float[Array, "B M K"], draw: Draw) -> Float[Array, "B M"]:
    """Return ``max(g)`` of each beam, as :func:`best_children` draws; -inf: no child."""
    scores = _scores(scored, logits)
    return (scores + draw.noise(scores.shape[1:])).max(axis=-1)


def best_children(
    scored: Scored, logits: Float[Array, "B M K"], beams: int, draw: Draw | None
) -> tuple[Float[Array, "B M2"], Array | None, Int[Array, "B M2"], Int[Array, "B M2"]]:
    """Choose the best of all children of all beams.

    Args:
      scored: the beams' scores and their normalizer; without one, scores are normalized over the
        children given here.
      logits: float32, the children's, in the order of their codes; -inf: no child.
      beams: M2, children to choose.
      draw: the randomness of a sampling search; None: the best are chosen.

    Returns:
      Scores, keys (None without a draw), beams and slots of the children, best first.
    """
    scores = _scores(scored, logits)
    if draw is None:
        best, parents, slots = top_candidates(scores, beams)
        return best, None, parents, slots
    drawn = scores + draw.noise(scores.shape[1:])
    largest = drawn.max(axis=-1) if draw.largest is None else draw.largest
    keys = draw.condition(drawn, largest[..., None], draw.parents[..., None])
    keys, parents, slots = top_candidates(keys, beams)
    flat = scores.reshape(scores.shape[0], -1)
    return take_beams(flat, parents * logits.shape[-1] + slots), keys, parents, slots


def _scores(scored: Scored, logits: Float[Array, "B M K"]) -> Float[Array, "B M K"]:
    normalizer = scored.normalizer
    if normalizer is None:
        normalizer = logsumexp(logits)
    scores = scored.base[..., None] + (logits - scored.per_beam(normalizer)[..., None])
    return jnp.where(scores > -jnp.inf, scores, -jnp.inf)  # NaN cannot win a place
