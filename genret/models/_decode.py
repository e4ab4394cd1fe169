"""What models share: states to logits."""

import abc
import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx

from genret.config import FeaturesConfig, ModelConfig
from genret.errors import GenretError
from genret.models._capabilities import Capabilities
from genret.models._features import Features, SideFeatures
from genret.models._layers import readout
from genret.models._steps import CachedSteps
from genret.typing import Array, Float, Int


class CodeModel(nnx.Module):
    """Base of the models: states that predict codes, and the vectors they are scored against.

    Attributes:
      config: the architecture.
    """

    config: ModelConfig

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs) -> None:
        if not config.codes_per_level:
            raise GenretError(
                "codes_per_level: found none, expected the number of codes of each level"
            )
        self.config = config
        self.features = Features(config, rngs=rngs)

    @property
    def capabilities(self) -> Capabilities:
        """What the architecture reads, and how the model is trained and searched."""
        found = Capabilities(max_items=self.config.max_items, normalize=self.config.normalize)
        if not isinstance(self.config, FeaturesConfig):
            return found
        return dataclasses.replace(
            found,
            reads_items=self.config.item_ids or self.config.item_vectors,
            time_buckets=self.config.time_buckets,
            user_buckets=self.config.user_buckets,
        )

    def forget(self, items: Int[np.ndarray, "C"]) -> None:
        """Take from items the learned vectors of their own: training will not see them.

        Args:
          items: their rows.
        """
        self.features.forget(items)

    @property
    def codes_per_level(self) -> tuple[int, ...]:
        """Codes of each level, [L]."""
        return self.config.codes_per_level

    @property
    def _dtype(self) -> jnp.dtype:
        return jnp.dtype(self.config.dtype)

    def logits(
        self,
        codes: Int[Array, "B T L"],
        segments: Int[Array, "B T"],
        positions: Int[Array, "B T"],
        *,
        side: SideFeatures | None = None,
        dropout_key: Array | None = None,
    ) -> tuple[Float[Array, "B _ _"], ...]:
        """Return the logits of every code of every item, teacher-forced.

        Args:
          codes: int32 [B, T, L].
          segments: 0 is padding, 1, 2, … the histories that share a row, int32 [B, T].
          positions: position of each item in its history, int32 [B, T].
          side: what the architecture reads beside the codes.
          dropout_key: a JAX key; None drops nothing.

        Returns:
          For each level, float32 logits [B, T, V] ([B, 1, V] of a model of one target a row); see
          :meth:`states`.
        """
        states = self.states(codes, segments, positions, side=side, dropout_key=dropout_key)
        return tuple(
            self.readout(states[:, :, level], level) for level in range(len(self.codes_per_level))
        )

    @abc.abstractmethod
    def states(
        self,
        codes: Int[Array, "B T L"],
        segments: Int[Array, "B T"],
        positions: Int[Array, "B T"],
        *,
        side: SideFeatures | None = None,
        dropout_key: Array | None = None,
    ) -> Float[Array, "B _ L W"]:
        """Return the state that predicts each code of every item, teacher-forced.

        Position t predicts item t from the items before it in its own segment, and code l of it
        also from its codes before l.
        """

    def _starts(
        self, bos: Float[Array, " W"], side: SideFeatures | None
    ) -> Float[Array, "#B #T W"]:
        """Return what stands before the first item: a learned vector, and the user's."""
        users = self.features.of_users(side, self._dtype)
        bos = bos.astype(self._dtype)[None, None]
        return bos if users is None else bos + users

    def readout(
        self, hidden: Float[Array, "*batch W"], level: int, codes: Int[Array, " S"] | None = None
    ) -> Float[Array, "*batch V"]:
        """Return the float32 logits of a level's codes from states; of ``codes`` only, if given."""
        return readout(hidden, self._output_vectors(level, codes))

    def score(
        self, hidden: Float[Array, "B T W"], level: int, codes: Int[Array, "B T"]
    ) -> Float[Array, "B T"]:
        """Return the float32 logit of one code for each state."""
        vectors = self._output_vectors(level, codes).astype(hidden.dtype)
        return jnp.einsum("btw,btw->bt", hidden, vectors, preferred_element_type=jnp.float32)

    @abc.abstractmethod
    def _output_vectors(
        self, level: int, codes: Int[Array, "*codes"] | None = None
    ) -> Float[Array, "*codes W"]:
        """Return the vectors that states are scored against: of all codes of a level, or some."""


class CachedDecoder(CodeModel, CachedSteps):
    """Base of the models that spell an item's codes one by one, from a history of codes."""


def level_offsets(codes_per_level: Sequence[int], first: int = 0) -> list[int]:
    """Return the row of each level's code 0 in a table of all levels' codes, one after another.

    >>> level_offsets((4, 3, 2), first=1)
    [1, 5, 8]
    """
    return [first + sum(codes_per_level[:level]) for level in range(len(codes_per_level))]


def shift_right(
    x: Float[Array, "B T W"], first: Float[Array, "*rows W"], segments: Int[Array, "B T"]
) -> Float[Array, "B T W"]:
    """Give each position the vector of the one before it, and ``first`` to a segment's start.

    ``first`` is one vector for all, or one for each position at which a segment might start.

    segments  1  1  1  2  2  0
    x         a  b  c  d  e  -
    result    <  a  b  <  d  <        with ``<`` = first
    """
    before = jnp.pad(segments[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    shifted = jnp.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))
    first = first.astype(x.dtype).reshape((1,) * (3 - first.ndim) + first.shape)
    return jnp.where((segments != before)[:, :, None], first, shifted)
