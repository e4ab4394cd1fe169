"""ItemDecoder: a causal transformer over items, and a small one that spells the next item's codes."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from flax import nnx

from genret.config import ItemDecoderConfig
from genret.errors import GenretError
from genret.models._attention import causal_mask
from genret.models._cache import Cache
from genret.models._capabilities import Capabilities
from genret.models._decode import CachedDecoder, level_offsets, shift_right
from genret.models._features import SideFeatures
from genret.models._history import History
from genret.models._layers import (
    Embedding,
    GatedMLP,
    Linear,
    Positions,
    RMSNorm,
    dropout,
    readout,
    split_key,
)
from genret.models._transformer import Transformer
from genret.typing import Array, Float, Int


class ItemDecoder(CachedDecoder):
    r"""Reads a history item by item, then spells the next item code by code.

    With :math:`e(\cdot)` the embedding of a code of a level, item :math:`t` becomes the vector
    :math:`x_t = f(\sum_l e(c_{t,l}))`. A causal transformer over the items gives
    :math:`h_t`, which knows the items before :math:`t`. A second, narrower one runs over the L
    levels of each position with inputs :math:`A h_t + B e(c_{t,l-1}) + p_l`, and its state scores
    the codes of level :math:`l` by their embeddings. A history of 20 items is 20 positions of the
    wide transformer, every position is a training target, and a decoding step runs only the narrow
    one.

    With ``latent_positions`` the narrow one starts with Z more positions, whose inputs are :math:`A h_t`
    and a learned vector each. No code is read off them: they are room to compute in before the first code.

    Source: Lee et al., Autoregressive Image Generation using Residual Quantization, 2022; Goyal et al.,
    Think before you speak: Training Language Models With Pause Tokens, 2024 (latent positions).

    Args:
      config: the architecture; ``codes_per_level`` must be filled.
      rngs: source of the initial parameters (``params`` stream).

    Raises:
      GenretError: no ``codes_per_level``.

    >>> import jax.numpy as jnp
    >>> config = ItemDecoderConfig(codes_per_level=(8, 4), width=16, heads=2, kv_heads=2, head_dim=8)
    >>> model = ItemDecoder(config, rngs=nnx.Rngs(0))
    >>> history = History.from_items([[0, 1], [7, 3]], [[0, 1]], max_items=3)
    >>> logits, cache = model.prefill(history)
    >>> logits.shape
    (1, 1, 8)
    >>> logits, cache = model.step(jnp.array([[5, 2]]), jnp.array([[0, 0]]), cache)
    >>> logits.shape
    (1, 2, 4)
    """

    config: ItemDecoderConfig

    def __init__(self, config: ItemDecoderConfig, *, rngs: nnx.Rngs) -> None:
        super().__init__(config, rngs=rngs)
        narrow = _code_config(config)
        rows = sum(config.codes_per_level)
        start = nnx.initializers.truncated_normal(1.0)
        self.embedding = Embedding(rows, config.width, rngs=rngs)
        self.output = None if config.tie_embeddings else Embedding(rows, config.width, rngs=rngs)
        self.item_norm = RMSNorm(config.width, config.norm_eps)
        self.item_mlp = GatedMLP(config.width, config.width, rngs=rngs)
        self.bos = nnx.Param(start(rngs.params(), (config.width,), jnp.float32))
        self.item_blocks = Transformer(config, config.layers, rngs=rngs)
        self.context_proj = Linear(config.width, narrow.width, rngs=rngs)
        self.code_proj = Linear(config.width, narrow.width, rngs=rngs)
        self.level_vectors = nnx.Param(
            start(rngs.params(), (len(config.codes_per_level), narrow.width), jnp.float32)
        )
        self.code_blocks = Transformer(narrow, config.code_layers, rngs=rngs)
        self.output_proj = Linear(config.width, narrow.width, rngs=rngs)
        self.dense_proj = (
            Linear(config.width, config.width, rngs=rngs) if config.dense_head else None
        )
        self.dense_blocks = (
            Transformer(config, config.dense_layers, rngs=rngs) if config.dense_layers else None
        )
        if config.dense_items and config.num_items < 1:
            raise GenretError("num_items: found 0, expected the number of items of the catalog")
        self.dense_items = (
            Embedding(config.num_items, config.width, rngs=rngs) if config.dense_items else None
        )
        latent = (config.latent_positions, narrow.width)
        self.latent_vectors = (
            nnx.Param(start(rngs.params(), latent, jnp.float32))
            if config.latent_positions
            else None
        )

    @property
    def capabilities(self) -> Capabilities:
        """See :attr:`CodeModel.capabilities`."""
        share = self.config.dense_share if self.config.dense_head else None
        return dataclasses.replace(super().capabilities, dense_share=share)

    def states(
        self,
        codes: Int[Array, "B T L"],
        segments: Int[Array, "B T"],
        positions: Int[Array, "B T"],
        *,
        side: SideFeatures | None = None,
        dropout_key: Array | None = None,
    ) -> Float[Array, "B T L W"]:
        """Return the state that predicts each code; see :meth:`CachedDecoder.states`."""
        history_key, code_key = split_key(dropout_key, 2)
        states, _ = self._item_states(codes, segments, positions, side, history_key, dense=False)
        return self._code_states(states, codes, code_key)

    def heads(
        self,
        codes: Int[Array, "B T L"],
        segments: Int[Array, "B T"],
        positions: Int[Array, "B T"],
        *,
        side: SideFeatures | None = None,
        dropout_key: Array | None = None,
    ) -> tuple[Float[Array, "B T L W"], Float[Array, "B T W2"]]:
        """Return :meth:`states`, and of the same pass over the items the states of the dense head."""
        history_key, code_key = split_key(dropout_key, 2)
        states, dense = self._item_states(codes, segments, positions, side, history_key)
        assert self.dense_proj is not None
        return self._code_states(states, codes, code_key), self.dense_proj(dense)

    def item_vectors(self, codes: Int[Array, "N L"]) -> Float[Array, "N W"]:
        """Return the vectors that the dense head scores items by.

        They are those that histories are read as, and with ``dense_items`` learned ones are added.

        Args:
          codes: the codes of the items, by row.
        """
        offsets = jnp.asarray(level_offsets(self.codes_per_level), jnp.int32)
        rows = jnp.arange(len(codes), dtype=jnp.int32)[None]
        of_codes = self.embedding(codes + offsets[None, :], self._dtype).sum(axis=1)
        vectors = of_codes + self.features.of_rows(rows, self._dtype)[0]
        if self.dense_items is None:
            return vectors
        # Items that came after the training have no vector of their own.
        own = self.dense_items(rows[0], self._dtype)
        return vectors + jnp.where((rows[0] < self.config.num_items)[:, None], own, 0)

    def forget(self, items: Int[np.ndarray, "C"]) -> None:
        """Take from items the learned vectors of their own: training will not see them."""
        super().forget(items)
        if self.dense_items is not None:
            self.dense_items.table[...] = self.dense_items.table[...].at[items].set(0)

    def _code_states(
        self,
        states: Float[Array, "B T W"],
        codes: Int[Array, "B T L"],
        code_key: Array | None,
    ) -> Float[Array, "B T L W2"]:
        batch, length, depth = codes.shape
        inputs = self._code_inputs(codes[:, :, :-1], 0)
        inputs = jnp.pad(inputs, ((0, 0), (0, 0), (1 + self.config.latent_positions, 0), (0, 0)))
        inputs = inputs + self.context_proj(states)[:, :, None] + self._beginning(depth)[None]
        # Every position of every row is a sequence of its own.
        inputs = inputs.reshape(batch * length, -1, inputs.shape[-1])
        steps = np.arange(inputs.shape[1])[None]
        mask = causal_mask(jnp.zeros(steps.shape, jnp.int32))
        hidden, _, _ = self.code_blocks(inputs, steps, mask, code_key)
        return hidden[:, -depth:].reshape(batch, length, depth, -1)

    def prefill(self, history: History) -> tuple[Float[Array, "B 1 V"], Cache]:
        """Read the histories, once per request.

        Args:
          history: B histories.

        Returns:
          Float32 logits [B, 1, V] of the first code, and the cache for :meth:`step`.
        """
        return self._begin(self._newest(history, dense=False)[0])

    def prefill_heads(
        self, history: History, vectors: Float[Array, "N W"]
    ) -> tuple[tuple[Float[Array, "B 1 V"], Cache], Float[Array, "B 1 N"]]:
        """Read the histories once for both heads.

        Args:
          history: B histories.
          vectors: :meth:`item_vectors` of the items.

        Returns:
          What :meth:`prefill` returns, and the float32 scores of all items as the next one, by the
          dense head.
        """
        newest, state = self._newest(history)
        assert self.dense_proj is not None
        dense = readout(self.dense_proj(state), vectors)
        return self._begin(newest), dense[:, None]

    def _begin(self, newest: Float[Array, "B W"]) -> tuple[Float[Array, "B 1 V"], Cache]:
        """Return the logits of the first code from the states of histories, and the cache."""
        context = self.context_proj(newest)
        inputs = context[:, None] + self._beginning(1)
        steps = np.arange(inputs.shape[1])[None]
        mask = causal_mask(jnp.zeros(steps.shape, jnp.int32))
        hidden, keys, values = self.code_blocks(inputs, steps, mask)
        hidden = hidden[:, -1:]
        lengths = jnp.full(inputs.shape[:1], inputs.shape[1], jnp.int32)
        cache = Cache.of_history(keys, values, lengths, hidden[:, 0], context)
        return self.readout(hidden, 0), cache

    def _newest(
        self, history: History, *, dense: bool = True
    ) -> tuple[Float[Array, "B W"], Float[Array, "B W"]]:
        """Return for each head the state that knows a whole history."""
        batch, items = history.codes.shape[:2]
        # Position T predicts the item after a full history; its own codes are never read.
        codes = jnp.pad(history.codes, ((0, 0), (0, 1), (0, 0)))
        positions = np.arange(items + 1)[None]
        side = None if history.side is None else history.side.with_room()
        segments, last = jnp.ones((batch, items + 1), jnp.int32), history.lengths[:, None]
        states = self._item_states(codes, segments, positions, side, None, wanted=last, dense=dense)
        return states[0][:, 0], states[1][:, 0]

    def _item_states(
        self,
        codes: Int[Array, "B T L"],
        segments: Int[Array, "B T"],
        positions: Positions,
        side: SideFeatures | None,
        dropout_key: Array | None,
        wanted: Int[Array, "B Q"] | None = None,
        *,
        dense: bool = True,
    ) -> tuple[Float[Array, "B Q W"], Float[Array, "B Q W"]]:
        """Return for each head the state of each position, which knows the items before it.

        Args:
          codes: codes of the items.
          segments: history of each position.
          positions: position of each item in its history.
          side: what the architecture reads beside codes.
          dropout_key: a JAX key; None drops nothing.
          wanted: positions whose states are asked for; None: all.
          dense: whether the dense head's state is asked for; otherwise it is that of the codes.
        """
        input_key, block_key = split_key(dropout_key, 2)
        offsets = jnp.asarray(level_offsets(self.codes_per_level), jnp.int32)
        vectors = self.embedding(codes + offsets[None, None, :], self._dtype)
        added = self.features.of_items(side, self._dtype)
        total = vectors.sum(axis=2)
        pooled = self.item_norm(total if added is None else total + added)
        items = pooled + self.item_mlp(pooled)
        x = shift_right(items, self._starts(self.bos[...], side), segments)
        x = dropout(x, self.config.dropout, input_key)
        mask = causal_mask(segments)
        if dense and self.dense_blocks is not None:
            return self.item_blocks.forked(self.dense_blocks, x, positions, mask, block_key, wanted)
        states, _, _ = self.item_blocks(x, positions, mask, block_key, wanted)
        return states, states

    def _extend(
        self, codes: Int[Array, "B M T"], cache: Cache
    ) -> tuple[Float[Array, "B M T W"], Cache]:
        first, count = cache.level + 1, codes.shape[2]
        inputs = self._code_inputs(codes, cache.level) + self._levels(first, count)[None]
        assert cache.context is not None
        positions = np.arange(first, first + count)[None] + self.config.latent_positions
        return self.code_blocks.extend(inputs + cache.context[:, None, None], positions, cache)

    def _code_inputs(self, codes: Int[Array, "B M T"], first: int) -> Float[Array, "B M T W"]:
        """Return the code decoder's input vectors for codes of the levels from ``first`` on."""
        offsets = level_offsets(self.codes_per_level)[first : first + codes.shape[2]]
        rows = codes + jnp.asarray(offsets, jnp.int32)[None, None, :]
        table, scale = self.embedding.table[...], self.config.width**0.5
        # Project what is fewer: the rows of the table, or the rows that are read.
        if rows.size > len(table):
            return self.code_proj(table.astype(self._dtype) * scale).at[rows].get(mode="clip")
        return self.code_proj(self.embedding(rows, self._dtype) * scale)

    def _levels(self, first: int, count: int) -> Float[Array, "1 T W"]:
        return self.level_vectors[...].astype(self._dtype)[None, first : first + count]

    def _beginning(self, count: int) -> Float[Array, "1 _ W"]:
        """Return the vectors of the latent positions and of the first ``count`` levels."""
        levels = self._levels(0, count)
        if self.latent_vectors is None:
            return levels
        return jnp.concatenate([self.latent_vectors[...].astype(self._dtype)[None], levels], axis=1)

    def readout(
        self, hidden: Float[Array, "*batch W2"], level: int, codes: Int[Array, " S"] | None = None
    ) -> Float[Array, "*batch V"]:
        """See :meth:`CodeModel.readout`; states of the narrow decoder meet vectors of the wide one."""
        rows = self._output_rows(level, codes)
        states, (width, narrow) = hidden.size // hidden.shape[-1], self.output_proj.kernel.shape
        # Project what takes fewer multiplications: the vectors down, or the states up.
        if states * (narrow + len(rows)) * width < len(rows) * narrow * (width + states):
            upward = self.output_proj.kernel[...].astype(hidden.dtype).T
            return readout(hidden @ upward, rows)
        return readout(hidden, self.output_proj(rows))

    def _output_rows(
        self, level: int, codes: Int[Array, "*codes"] | None
    ) -> Float[Array, "*codes W"]:
        """Return the rows of the output embedding for the codes of a level: all, or some."""
        source = (self.embedding if self.output is None else self.output).table[...]
        first = level_offsets(self.codes_per_level)[level]
        if codes is None:
            rows = source[first : first + self.codes_per_level[level]]
        else:
            rows = source.at[first + codes].get(mode="clip")
        return rows.astype(self._dtype)

    def _output_vectors(
        self, level: int, codes: Int[Array, "*codes"] | None = None
    ) -> Float[Array, "*codes W"]:
        return self.output_proj(self._output_rows(level, codes))


def _code_config(config: ItemDecoderConfig) -> ItemDecoderConfig:
    """Return the configuration of the code decoder: the same, narrower."""
    width = config.code_width or config.width // 2
    heads = max(1, width // config.head_dim)
    return dataclasses.replace(
        config,
        width=width,
        heads=heads,
        kv_heads=heads,
        mlp_dim=max(1, config.mlp_dim * width // config.width),
    )
