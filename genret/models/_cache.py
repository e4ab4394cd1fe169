"""What a model keeps between decoding steps: one part per request, one per beam."""

import dataclasses

import jax.numpy as jnp

from genret.pytree import register_pytree, static_field
from genret.typing import Array, Float, Int


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Cache:
    """Keys and values of a request's history, stored once, and of its beams' own codes.

    Only the beams' part is gathered when beams are reordered; it has at most L positions.

    Attributes:
      shared_keys: for each block, keys of the request [B, S, K, D].
      shared_values: for each block, values of the request [B, S, K, D].
      shared_lengths: how many of the S positions count, int32 [B].
      keys: for each block, keys of the beams [B, M, P, K, D]; P = level.
      values: for each block, values of the beams [B, M, P, K, D].
      hidden: normalized hidden state of each beam, which predicts the code of ``level`` [B, M, W].
      context: projected state of the history, added to every code's input (ItemDecoder) [B, W].
      level: codes of the item that the cache holds (static).
    """

    shared_keys: tuple[Float[Array, "B S K D"], ...]
    shared_values: tuple[Float[Array, "B S K D"], ...]
    shared_lengths: Int[Array, " B"]
    keys: tuple[Float[Array, "B M P K D"], ...]
    values: tuple[Float[Array, "B M P K D"], ...]
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
        empty = tuple(k[:, None, :0] for k in keys)
        return cls(
            shared_keys=keys,
            shared_values=values,
            shared_lengths=lengths,
            keys=empty,
            values=empty,
            hidden=hidden[:, None],
            context=context,
            level=0,
        )

    def take_beams(self, parents: Int[Array, "B M"]) -> "Cache":
        """Return the cache whose beam m is a copy of the beam ``parents[:, m]``."""
        return dataclasses.replace(
            self,
            keys=tuple(take_beams(k, parents) for k in self.keys),
            values=tuple(take_beams(v, parents) for v in self.values),
            hidden=take_beams(self.hidden, parents),
        )

    def extended(
        self,
        keys: tuple[Float[Array, "B M P K D"], ...],
        values: tuple[Float[Array, "B M P K D"], ...],
        hidden: Float[Array, "B M W"],
    ) -> "Cache":
        """Return the cache with longer suffixes and the hidden states at their ends."""
        return dataclasses.replace(
            self, keys=keys, values=values, hidden=hidden, level=keys[0].shape[2]
        )


def take_beams(
    x: Float[Array, "B M *rest"], parents: Int[Array, "B C"]
) -> Float[Array, "B C *rest"]:
    """Return ``x[b, parents[b, c]]``."""
    index = parents.reshape(*parents.shape, *(1,) * (x.ndim - 2))
    return jnp.take_along_axis(x, index, axis=1, mode="clip")
