"""OnePass: all codes of the next item at once, under RecGPT's hybrid mask."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from genret.config import OnePassConfig
from genret.models._decode import level_offsets
from genret.models._features import SideFeatures
from genret.models._history import History
from genret.models._layers import Embedding, Positions, dropout, split_key
from genret.models._parallel import ParallelCodes
from genret.models._transformer import Transformer
from genret.typing import Array, Bool, Float, Int


def hybrid_mask(segments: Int[Array, "B T"], depth: int) -> Bool[Array, "B S S"]:
    """Let each code see its own item's codes and those of the earlier items of its segment.

    Causal between items, both ways inside one. Padding is a segment like any other (0), so no
    position sees nothing.

    >>> hybrid_mask(jnp.array([[1, 1]]), 2)[0].astype(int).tolist()
    [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    """
    same = segments[:, :, None] == segments[:, None, :]
    items = same & jnp.tril(jnp.ones((1, *same.shape[1:]), bool))
    return jnp.repeat(jnp.repeat(items, depth, axis=1), depth, axis=2)


class OnePass(ParallelCodes):
    r"""Reads a history code by code and predicts all codes of the next item in one pass.

    The L slots of an item see each other and all earlier items; the one of code l predicts code l
    of the *next* item, so the codes of an item are independent of each other given the history:

    .. math:: p(c_1, \dots, c_L \mid h) = \prod_l p(c_l \mid h)

    A search asks the model once. L learned vectors stand before the first item.

    Source: RecGPT, arXiv 2506.06270, 2025.

    Args:
      config: the architecture; ``codes_per_level`` must be filled.
      rngs: source of the initial parameters (``params`` stream).

    Raises:
      GenretError: no ``codes_per_level``.

    >>> config = OnePassConfig(codes_per_level=(8, 4), width=16, heads=2, kv_heads=1, head_dim=8)
    >>> model = OnePass(config, rngs=nnx.Rngs(0))
    >>> history = History.from_items([[0, 1]], [[0], []], max_items=3)
    >>> [logits.shape for logits in model(history)]
    [(2, 8), (2, 4)]
    """

    def __init__(self, config: OnePassConfig, *, rngs: nnx.Rngs) -> None:
        super().__init__(config, rngs=rngs)
        rows, depth = sum(config.codes_per_level), len(config.codes_per_level)
        self.embedding = Embedding(rows, config.width, rngs=rngs)
        self.output = None if config.tie_embeddings else Embedding(rows, config.width, rngs=rngs)
        start = nnx.initializers.truncated_normal(config.width**-0.5)
        self.bos = nnx.Param(start(rngs.params(), (depth, config.width), jnp.float32))
        self.blocks = Transformer(config, config.layers, rngs=rngs)

    def states(
        self,
        codes: Int[Array, "B T L"],
        segments: Int[Array, "B T"],
        positions: Int[Array, "B T"],
        *,
        side: SideFeatures | None = None,
        dropout_key: Array | None = None,
    ) -> Float[Array, "B T L W"]:
        """Return the state that predicts each code; see :meth:`CodeModel.states`.

        No state knows the codes before its own in the same item.
        """
        hidden = self._hidden(codes, segments, positions, side, dropout_key)
        return hidden.reshape(*codes.shape, -1)

    def _hidden(
        self,
        codes: Int[Array, "B T L"],
        segments: Int[Array, "B T"],
        positions: Positions,
        side: SideFeatures | None,
        dropout_key: Array | None = None,
        wanted: Int[Array, "B Q"] | None = None,
    ) -> Float[Array, "B Q W"]:
        """Return the states of all T L slots, or of those ``wanted``."""
        batch, length, depth = codes.shape
        input_key, block_key = split_key(dropout_key, 2)
        offsets = jnp.asarray(level_offsets(self.codes_per_level), jnp.int32)
        vectors = self.embedding(codes + offsets[None, None, :], self._dtype)
        added = self.features.of_items(side, self._dtype)
        if added is not None:
            vectors = vectors + added[:, :, None]
        before = jnp.pad(segments[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
        shifted = jnp.pad(vectors[:, :-1], ((0, 0), (1, 0), (0, 0), (0, 0)))
        is_first = (segments != before)[:, :, None, None]
        starts = self.bos[...].astype(self._dtype)[None, None]
        users = self.features.of_users(side, self._dtype)
        starts = starts if users is None else starts + users[:, :, None]
        x = jnp.where(is_first, starts, shifted)
        x = dropout(x.reshape(batch, length * depth, -1), self.config.dropout, input_key)
        slots = positions[:, :, None] * depth + np.arange(depth, dtype=np.int32)[None, None, :]
        hidden, _, _ = self.blocks(
            x, slots.reshape(len(slots), -1), hybrid_mask(segments, depth), block_key, wanted
        )
        return hidden

    def __call__(self, history: History) -> tuple[Float[Array, "B _"], ...]:
        """Return the float32 logits of every level's codes, [B, V] each."""
        items = history.codes.shape[1] + 1
        codes = jnp.pad(history.codes, ((0, 0), (0, 1), (0, 0)))
        positions = np.arange(items)[None]
        side = None if history.side is None else history.side.with_room()
        depth, segments = codes.shape[2], jnp.ones(codes.shape[:2], jnp.int32)
        newest = history.lengths[:, None] * depth + jnp.arange(depth, dtype=jnp.int32)[None, :]
        hidden = self._hidden(codes, segments, positions, side, wanted=newest)
        return tuple(self.readout(hidden[:, level], level) for level in range(depth))
