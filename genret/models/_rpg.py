"""RPG: long semantic IDs whose codes have no order and are predicted at once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genret.config import RPGConfig
from genret.models._attention import causal_mask
from genret.models._capabilities import Capabilities
from genret.models._decode import level_offsets, shift_right
from genret.models._features import SideFeatures
from genret.models._history import History
from genret.models._layers import Embedding, Linear, Positions, RMSNorm, dropout, split_key
from genret.models._parallel import ParallelCodes
from genret.models._transformer import Transformer
from genret.typing import Array, Float, Int


class RPG(ParallelCodes):
    r"""Reads a history item by item and predicts all codes of the next item at once.

    With :math:`e(\cdot)` the embedding of a code of a level, an item is read as the mean of the
    embeddings of its codes. A causal transformer gives the state :math:`h_t`, and a residual layer
    for each level turns it towards the codes of that level:

    .. math:: p(c_l \mid h_t) \propto \exp(\cos(g_l(h_t), e(c_l)) / \tau), \qquad
        g_l(h) = h + \operatorname{silu}(W_l h + b_l)

    The codes of an item are independent of each other given the history, so they need no order and
    there may be many of them (16 to 64, from product quantization). They are not searched one after
    another: :class:`~genret.models.CodeScores` scores every item by the sum of its codes.

    Source: Hou et al., Generating Long Semantic IDs in Parallel for Recommendation (RPG),
    arXiv 2506.05781, 2025.

    Args:
      config: the architecture; ``codes_per_level`` must be filled.
      rngs: source of the initial parameters (``params`` stream).

    Raises:
      GenretError: no ``codes_per_level``.

    >>> config = RPGConfig(codes_per_level=(8, 4), width=16, heads=2, kv_heads=1, head_dim=8)
    >>> model = RPG(config, rngs=nnx.Rngs(0))
    >>> history = History.from_items([[0, 1]], [[0], []], max_items=3)
    >>> [logits.shape for logits in model(history)]
    [(2, 8), (2, 4)]
    """

    config: RPGConfig

    def __init__(self, config: RPGConfig, *, rngs: nnx.Rngs) -> None:
        super().__init__(config, rngs=rngs)
        rows, depth = sum(config.codes_per_level), len(config.codes_per_level)
        start = nnx.initializers.truncated_normal(config.width**-0.5)
        self.embedding = Embedding(rows, config.width, rngs=rngs)
        self.output = None if config.tie_embeddings else Embedding(rows, config.width, rngs=rngs)
        self.item_norm = RMSNorm(config.width, config.norm_eps)
        self.bos = nnx.Param(start(rngs.params(), (config.width,), jnp.float32))
        self.blocks = Transformer(config, config.layers, rngs=rngs)
        self.level_proj = Linear(config.width, depth * config.width, bias=True, rngs=rngs)

    @property
    def capabilities(self) -> Capabilities:
        """See :attr:`CodeModel.capabilities`."""
        return dataclasses.replace(super().capabilities, scores_codes=True)

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

        No state knows a code of the item that it predicts.
        """
        hidden = self._hidden(codes, segments, positions, side, dropout_key)
        return self._turned(hidden)

    def __call__(self, history: History) -> tuple[Float[Array, "B _"], ...]:
        """Return the float32 logits of every level's codes, [B, V] each."""
        items = history.codes.shape[1] + 1
        # Position T predicts the item after a full history; its own codes are never read.
        codes = jnp.pad(history.codes, ((0, 0), (0, 1), (0, 0)))
        side = None if history.side is None else history.side.with_room()
        segments, last = jnp.ones(codes.shape[:2], jnp.int32), history.lengths[:, None]
        hidden = self._hidden(codes, segments, np.arange(items)[None], side, wanted=last)
        states = self._turned(hidden)[:, 0]
        levels = range(len(self.codes_per_level))
        return tuple(self.readout(states[:, level], level) for level in levels)

    def _hidden(
        self,
        codes: Int[Array, "B T L"],
        segments: Int[Array, "B T"],
        positions: Positions,
        side: SideFeatures | None,
        dropout_key: Array | None = None,
        wanted: Int[Array, "B Q"] | None = None,
    ) -> Float[Array, "B Q W"]:
        """Return the states of all positions, or of those ``wanted``; each knows the items before."""
        input_key, block_key = split_key(dropout_key, 2)
        offsets = jnp.asarray(level_offsets(self.codes_per_level), jnp.int32)
        vectors = self.embedding(codes + offsets[None, None, :], self._dtype).mean(axis=2)
        added = self.features.of_items(side, self._dtype)
        items = self.item_norm(vectors if added is None else vectors + added)
        x = shift_right(items, self._starts(self.bos[...], side), segments)
        x = dropout(x, self.config.dropout, input_key)
        hidden, _, _ = self.blocks(x, positions, causal_mask(segments), block_key, wanted)
        return hidden

    def _turned(self, hidden: Float[Array, "B Q W"]) -> Float[Array, "B Q L W"]:
        """Return for each level the state that its codes are compared with."""
        turned = jax.nn.silu(self.level_proj(hidden))
        turned = hidden[:, :, None] + turned.reshape(*hidden.shape[:2], -1, hidden.shape[-1])
        return _of_length_one(turned) * (1 / self.config.temperature)

    def _output_vectors(
        self, level: int, codes: Int[Array, "*codes"] | None = None
    ) -> Float[Array, "*codes W"]:
        return _of_length_one(super()._output_vectors(level, codes))


def _of_length_one(x: Float[Array, "*batch W"]) -> Float[Array, "*batch W"]:
    """Return vectors scaled to length 1, computed in float32; those of length 0 stay."""
    y = x.astype(jnp.float32)
    return (y * jax.lax.rsqrt((y * y).sum(axis=-1, keepdims=True) + 1e-12)).astype(x.dtype)
