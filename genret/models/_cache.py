"""What a model keeps between decoding steps: one part per request, one per beam."""

import dataclasses

import jax.numpy as jnp

from genret.pytree import register_pytree, static_field
from genret.typing import Array, Float, Int, Shaped


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Cache:
    """Keys and values of a request's history, stored once, and of its beams' own codes.

    No key is ever moved. When beams are chosen anew, what follows them is their path: which of the
    positions that any beam of the request had are their own. Beams with a common prefix share it.

    Attributes:
      shared_keys: for each block, keys of the request [B, S, K, D].
      shared_values: for each block, values of the request [B, S, K, D].
      shared_lengths: how many of the S positions count, int32 [B].
      keys: for each block, keys of the positions of all beams of a request, in the order in which
        they were computed [B, E, K, D].
      values: for each block, values of these positions [B, E, K, D].
      paths: which of the E positions belong to each beam, oldest first, int32 [B, M, P]; P = level,
        or one more where a start token is before the codes.
      hidden: normalized hidden state of each beam, which predicts the code of ``level`` [B, M, W].
      context: projected state of the history, added to every code's input (ItemDecoder) [B, W].
      level: codes of the item that the cache holds (static).
    """

    shared_keys: tuple[Float[Array, "B S K D"], ...]
    shared_values: tuple[Float[Array, "B S K D"], ...]
    shared_lengths: Int[Array, " B"]
    keys: tuple[Float[Array, "B E K D"], ...]
    values: tuple[Float[Array, "B E K D"], ...]
    paths: Int[Array, "B M P"]
    hidden: Float[Array, "B M W"]
    context: Float[Array, "B W"] | None
    level: int = static_field()

    @classmethod
    def of_history(
        cls,
        keys: tuple[Float[Array, "B S K D"], ...],
        values: tuple[Float[Array, "B S K D"], ...],
        lengths: Int[Array, " B"],
        hidden: Float[Array, "B W"],
        context: Float[Array, "B W"] | None = None,
    ) -> "Cache":
        """Start a cache with one beam a request that holds no code yet."""
        empty = tuple(k[:, :0] for k in keys)
        return cls(
            shared_keys=keys,
            shared_values=values,
            shared_lengths=lengths,
            keys=empty,
            values=empty,
            paths=jnp.zeros((len(lengths), 1, 0), jnp.int32),
            hidden=hidden[:, None],
            context=context,
            level=0,
        )

    def take_beams(self, parents: Int[Array, "B M"]) -> "Cache":
        """Return the cache whose beam m is a copy of the beam ``parents[:, m]``."""
        return dataclasses.replace(
            self,
            paths=take_beams(self.paths, parents),
            hidden=take_beams(self.hidden, parents),
        )

    def extended(
        self,
        keys: tuple[Float[Array, "B M T K D"], ...],
        values: tuple[Float[Array, "B M T K D"], ...],
        hidden: Float[Array, "B M W"],
    ) -> "Cache":
        """Return the cache with T new positions of each beam and the hidden states at their ends."""
        batch, beams, count = keys[0].shape[:3]
        before = self.keys[0].shape[1]
        new = before + jnp.arange(beams * count, dtype=jnp.int32).reshape(1, beams, count)
        new = jnp.broadcast_to(new, (batch, beams, count))

        def joined(old: Float[Array, "B E K D"], new: Float[Array, "B M T K D"]) -> Array:
            return jnp.concatenate([old, new.reshape(batch, -1, *new.shape[3:])], axis=1)

        return dataclasses.replace(
            self,
            keys=tuple(map(joined, self.keys, keys)),
            values=tuple(map(joined, self.values, values)),
            paths=jnp.concatenate([self.paths, new], axis=2),
            hidden=hidden,
            level=self.paths.shape[2] + count,
        )


def take_beams(
    x: Shaped[Array, "B M *rest"], parents: Int[Array, "B C"]
) -> Shaped[Array, "B C *rest"]:
    """Return ``x[b, parents[b, c]]``."""
    index = parents.reshape(*parents.shape, *(1,) * (x.ndim - 2))
    return jnp.take_along_axis(x, index, axis=1, mode="clip")
