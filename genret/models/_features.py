"""What a model may know beside an item's codes: the item itself, its vector, times, the user."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genret.config import FeaturesConfig, ModelConfig
from genret.errors import GenretError
from genret.models._layers import Embedding, Linear, RMSNorm
from genret.pytree import register_pytree
from genret.typing import Array, Float, Int, Vectors

FROZEN = "frozen_vectors"
"""Name of the parameter that training leaves as it is."""


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class SideFeatures:
    """What is known of the positions of histories beside their codes; None where it is not.

    Attributes:
      items: item rows, int32 [B, T]; rows out of range are items that training did not know.
      gaps: buckets of the time since the item before, int32 [B, T]; see
        :func:`genret.data.bucket_gaps`.
      users: bucket of the history's user, int32 [B, T] or [B, 1]; 0 is an unknown one.
    """

    items: Int[Array, "B T"] | None = None
    gaps: Int[Array, "B T"] | None = None
    users: Int[Array, "B _"] | None = None

    def with_room(self) -> "SideFeatures":
        """Return it with one more position, for the item that follows a full history."""
        room = ((0, 0), (0, 1))
        return SideFeatures(
            items=None if self.items is None else jnp.pad(self.items, room, constant_values=-1),
            gaps=None if self.gaps is None else jnp.pad(self.gaps, room),
            users=None if self.users is None else self.users[:, :1],
        )

    def without_last(self) -> "SideFeatures":
        """Return it without the last position."""
        return SideFeatures(
            items=None if self.items is None else self.items[:, :-1],
            gaps=None if self.gaps is None else self.gaps[:, :-1],
            users=None if self.users is None else self.users[:, :1],
        )


class Features(nnx.Module):
    """The vectors of a :class:`SideFeatures`, as the architecture asks for them.

    Each part that is not asked for has no parameters. The given vectors of the items are a
    parameter that training leaves as it is, so that a saved model is whole.

    Sources: RecGPT, arXiv 2506.06270, 2025 (vectors beside codes); Li et al., Time Interval Aware
    Self-Attention, 2020; Rajput et al., 2023 (hashed user token).
    """

    def __init__(self, asked: ModelConfig, *, rngs: nnx.Rngs) -> None:
        # A kind that reads nothing beside codes is one that asks for nothing here.
        config = asked if isinstance(asked, FeaturesConfig) else FeaturesConfig()
        width = config.width
        needed = config.item_ids or config.item_vectors
        if needed and config.num_items < 1:
            raise GenretError("num_items: found 0, expected the number of items of the catalog")
        if config.item_vectors and config.vector_dim < 1:
            raise GenretError("vector_dim: found 0, expected the width of the items' vectors")
        joined = config.item_vectors
        shape = (config.num_items, config.vector_dim)

        def table(rows: int) -> Embedding | None:
            return Embedding(rows, width, rngs=rngs) if rows else None

        self.items = table(config.num_items if config.item_ids else 0)
        self.frozen_vectors = nnx.Param(jnp.zeros(shape, jnp.float32)) if joined else None
        self.vector_proj = Linear(config.vector_dim, width, rngs=rngs) if joined else None
        self.vector_norm = RMSNorm(width, config.norm_eps) if joined else None
        self.gaps = table(config.time_buckets)
        self.users = table(config.user_buckets)
        self.num_items, self.width = config.num_items, width

    def set_vectors(self, vectors: Vectors) -> None:
        """Take the given vectors of the items.

        Raises:
          GenretError: the architecture reads none, or those of other items or of another width.
        """
        if self.frozen_vectors is None:
            raise GenretError("item_vectors: found vectors for a model that reads none")
        expected = self.frozen_vectors.shape
        if vectors.shape != expected:
            raise GenretError(f"item_vectors: found {vectors.shape}, expected {expected}")
        self.frozen_vectors[...] = jnp.asarray(vectors, jnp.float32)

    def of_items(self, side: SideFeatures | None, dtype: Any) -> Float[Array, "B T W"] | None:
        """Return what is added to the vector of each item; None where nothing is asked for.

        Raises:
          GenretError: the architecture asks for what ``side`` does not have.
        """
        parts = []
        if self.items is not None or self.frozen_vectors is not None:
            parts.append(self.of_rows(_asked(side, "items"), dtype))
        if self.gaps is not None:
            parts.append(self.gaps(_asked(side, "gaps"), dtype))
        return sum(parts[1:], parts[0]) if parts else None

    def of_rows(self, rows: Int[Array, "B T"], dtype: Any) -> Float[Array, "B T W"]:
        """Return what is added to the vectors of items whatever their place in a history."""
        parts = [jnp.zeros((*rows.shape, self.width), dtype)]
        if self.items is not None:
            parts.append(self._known(rows, self.items(rows, dtype)))
        if self.frozen_vectors is not None:
            table = jax.lax.stop_gradient(self.frozen_vectors[...]).astype(dtype)
            assert self.vector_proj is not None
            assert self.vector_norm is not None
            vectors = self.vector_proj(table.at[rows].get(mode="clip"))
            # Rows of an embedding have length 1, and so has this part of the sum.
            scale = vectors.shape[-1] ** -0.5
            parts.append(self._known(rows, self.vector_norm(vectors) * jnp.asarray(scale, dtype)))
        return sum(parts[1:], parts[0])

    def forget(self, items: Int[np.ndarray, "C"]) -> None:
        """Take from items the learned vectors of their own: training will not see them."""
        if self.items is not None:
            self.items.table[...] = self.items.table[...].at[items].set(0)

    def of_users(self, side: SideFeatures | None, dtype: Any) -> Float[Array, "B T W"] | None:
        """Return the vector of the user at each position; None where none is asked for."""
        if self.users is None:
            return None
        rows = _asked(side, "users")
        return jnp.where((rows > 0)[:, :, None], self.users(rows, dtype), 0)

    def _known(
        self, rows: Int[Array, "B T"], vectors: Float[Array, "B T W"]
    ) -> Float[Array, "B T W"]:
        return jnp.where(((rows >= 0) & (rows < self.num_items))[:, :, None], vectors, 0)


def _asked(side: SideFeatures | None, name: str) -> Array:
    found = None if side is None else getattr(side, name)
    if found is None:
        raise GenretError(
            f"history: has no {name}, which the model reads; make it with History.from_items"
            + {"items": "", "gaps": "(times=…)", "users": "(users=…)"}[name]
        )
    return found
