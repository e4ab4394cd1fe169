"""Draws without replacement: what candidates are ranked by in a stochastic beam search."""

import dataclasses

import jax
import jax.numpy as jnp

from genret.pytree import register_pytree, static_field
from genret.typing import Array, Float, Int, UInt


@register_pytree
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

    bits: UInt[Array, "B ..."]
    parents: Float[Array, "B M"]
    largest: Float[Array, "B M"] | None
    generator: object = static_field()

    @classmethod
    def at_level(cls, keys: Array, level: int, parents: Float[Array, "B M"]) -> "Draw":
        """Return the randomness of a level; ``keys``: a key of each request."""
        return cls(
            bits=jax.random.key_data(_folded(keys, level)),
            parents=parents,
            largest=None,
            generator=jax.random.key_impl(keys),
        )

    def of_trie(self, number: int) -> "Draw":
        """Return the randomness of another trie: its children draw for themselves."""
        return dataclasses.replace(self, bits=jax.random.key_data(_folded(self._keys, number)))

    def noise(
        self, shape: tuple[int, ...], part: Int[Array, ""] | int = 0
    ) -> Float[Array, "B *shape"]:
        """Return Gumbel variables, a request's ``shape``; the same ones for the same part."""

        def own(key: Array) -> Array:
            return jax.random.gumbel(jax.random.fold_in(key, part), shape, jnp.float32)

        return jax.vmap(own)(self._keys)

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

    @property
    def _keys(self) -> Array:
        return jax.random.wrap_key_data(self.bits, impl=self.generator)


def _folded(keys: Array, number: int) -> Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
