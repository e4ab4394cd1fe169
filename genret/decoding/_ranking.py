"""What candidates are ranked by: their log-probability, or a draw without replacement."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from genret.typing import Array, Float


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("bits", "parents"), meta_fields=("generator",)
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
      generator: of the keys.
    """

    bits: Any
    parents: Any
    generator: Any

    @classmethod
    def at_level(cls, keys: Any, level: int, parents: Float[Array, "B M"]) -> "Draw":
        """Return the randomness of a level; ``keys``: a key of each request."""
        own = jax.vmap(lambda key: jax.random.fold_in(key, level))(keys)
        return cls(
            bits=jax.random.key_data(own), parents=parents, generator=jax.random.key_impl(keys)
        )

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
