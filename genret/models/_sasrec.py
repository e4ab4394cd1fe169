"""SASRec: the baseline that scores every item of the catalog by its own embedding."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from genret.config import SASRecModelConfig
from genret.errors import GenretError
from genret.models._attention import attend, causal_mask
from genret.models._decode import CodeModel, shift_right
from genret.models._features import SideFeatures
from genret.models._history import History
from genret.models._layers import Embedding, Linear, as_block, dropout, split_key
from genret.models._low_pass import FrequencyFilter
from genret.typing import Array, Bool, Float, Int


class SASRec(CodeModel):
    r"""Self-attentive sequential recommendation, as a model whose semantic ID is the item itself.

    With :math:`e_i` the embedding of item i and :math:`p_t` that of position t, a causal
    transformer reads :math:`e_{i_{t-1}} + p_t` (a learned start at t = 0), and its state
    :math:`h_t` scores item i by :math:`\langle h_t, e_i \rangle`. Trained with the cross-entropy
    over *all* items it is far stronger than with the sampled binary loss of the paper.

    To everything else it is a generative model with codes of one level: item i has the code i. So
    it is trained by the same loop (its loss is then the full cross-entropy), searched in the
    same trie, under the same filters and exclusions.

    Of the architecture it takes ``width``, ``layers``, ``heads``, ``mlp_dim``, ``max_items``,
    ``dropout``, ``norm_eps``, ``tie_embeddings`` and ``dtype``. Blocks normalize before attention
    and before the MLP, and once at the end.

    With ``low_pass_share`` α > 0 a :class:`~genret.models._low_pass.FrequencyFilter` stands beside
    the attention of each block, and the block adds α times its output and 1 − α times that of the
    attention: the model of BSARec.

    Sources: Kang and McAuley, Self-Attentive Sequential Recommendation, 2018; Klenitskiy and
      Vasilev, Turning Dross Into Gold Loss: is BERT4Rec really better than SASRec?, 2023 (full
      cross-entropy).

    Args:
      config: the architecture; ``codes_per_level`` is the number of items.
      rngs: source of the initial parameters (``params`` stream).

    Raises:
      GenretError: no ``codes_per_level``.

    >>> config = SASRecModelConfig(codes_per_level=(9,), width=16, heads=4)
    >>> model = SASRec(config, rngs=nnx.Rngs(0))
    >>> codes = [[i] for i in range(9)]
    >>> logits, _ = model.prefill(History.from_items(codes, [[4, 7], []], max_items=3))
    >>> logits.shape
    (2, 1, 9)
    """

    def __init__(self, config: SASRecModelConfig, *, rngs: nnx.Rngs) -> None:
        super().__init__(config, rngs=rngs)
        start = nnx.initializers.truncated_normal(config.width**-0.5)
        rows = config.codes_per_level[0]
        self.embedding = Embedding(rows, config.width, rngs=rngs)
        self.output = None if config.tie_embeddings else Embedding(rows, config.width, rngs=rngs)
        self.start = nnx.Param(start(rngs.params(), (config.width,), jnp.float32))
        # What a model sees is a start and max_items items.
        self.positions = Embedding(config.max_items + 1, config.width, rngs=rngs)
        self.blocks = nnx.List([_Block(config, rngs=rngs) for _ in range(config.layers)])
        self.norm = _LayerNorm(config.width, config.norm_eps)

    def states(
        self,
        codes: Int[Array, "B T L"],
        segments: Int[Array, "B T"],
        positions: Int[Array, "B T"],
        *,
        side: SideFeatures | None = None,
        dropout_key: Array | None = None,
    ) -> Float[Array, "B T L W"]:
        """Return the state that predicts each item, teacher-forced; it reads nothing beside items.

        Position t predicts item t from the items before it in its own segment (the first from the
        learned start).
        """
        del side
        x = shift_right(self._embed(codes[..., 0]), self.start[...], segments)
        return self._states(x, positions, causal_mask(segments), dropout_key)[:, :, None]

    def prefill(self, history: History) -> tuple[Float[Array, "B 1 V"], None]:
        """Read the histories, once per request.

        Args:
          history: B histories of at most ``max_items`` items.

        Returns:
          Float32 scores [B, 1, V] of the next item, and no cache: no level follows.
        """
        x = self._embed(history.codes[..., 0])
        start = jnp.broadcast_to(self.start[...].astype(x.dtype), (x.shape[0], 1, x.shape[2]))
        x = jnp.concatenate([start, x], axis=1)
        row = jnp.ones(x.shape[:2], jnp.int32)
        positions = jnp.broadcast_to(jnp.arange(x.shape[1], dtype=jnp.int32), x.shape[:2])
        hidden = self._states(x, positions, causal_mask(row))
        newest = history.lengths[:, None, None]
        return self.readout(jnp.take_along_axis(hidden, newest, axis=1, mode="clip"), 0), None

    def step(self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: None) -> None:
        """Refuse: an item is one code, so no level follows.

        Raises:
          GenretError: always.
        """
        raise GenretError("step: kind 'sasrec' has one level: no level follows")

    def _embed(self, items: Int[Array, "*batch"]) -> Float[Array, "*batch W"]:
        return self.embedding(items, jnp.dtype(self.config.dtype))

    def _states(
        self,
        x: Float[Array, "B T W"],
        positions: Int[Array, "B T"],
        mask: Bool[Array, "B T T"],
        dropout_key: Array | None = None,
    ) -> Float[Array, "B T W"]:
        """Return normalized hidden states."""
        keys = split_key(dropout_key, len(self.blocks) + 1)
        x = dropout(x + self.positions(positions, x.dtype), self.config.dropout, keys[0])
        for block, key in zip(self.blocks, keys[1:], strict=True):
            x = as_block(functools.partial(block, mask=mask, key=key))(x)
        return self.norm(x)

    def _output_vectors(
        self, level: int, codes: Int[Array, "*codes"] | None = None
    ) -> Float[Array, "*codes W"]:
        del level
        table = (self.embedding if self.output is None else self.output).table[...]
        return table if codes is None else table[codes]


class _Block(nnx.Module):
    """``x + attention(norm(x))``, perhaps beside a filter, then ``x + relu(norm(x) U) V``."""

    def __init__(self, config: SASRecModelConfig, *, rngs: nnx.Rngs) -> None:
        width = config.width
        self.attention_norm = _LayerNorm(width, config.norm_eps)
        self.qkv_proj = Linear(width, 3 * width, bias=True, rngs=rngs)
        self.o_proj = Linear(width, width, bias=True, rngs=rngs)
        self.mlp_norm = _LayerNorm(width, config.norm_eps)
        self.up_proj = Linear(width, config.mlp_dim, bias=True, rngs=rngs)
        self.down_proj = Linear(config.mlp_dim, width, bias=True, rngs=rngs)
        self.heads = config.heads
        self.dropout = config.dropout
        self.low_pass_share = config.low_pass_share
        positions, frequencies = config.max_items + 1, config.low_pass_frequencies
        self.filter = (
            FrequencyFilter(positions, frequencies, width, rngs=rngs)
            if config.low_pass_share > 0
            else None
        )

    def __call__(
        self, x: Float[Array, "B T W"], mask: Bool[Array, "B T T"], key: Array | None
    ) -> Float[Array, "B T W"]:
        """Process a row."""
        attention_key, hidden_key, mlp_key = split_key(key, 3)
        heads = (*x.shape[:2], self.heads, -1)
        normed = self.attention_norm(x)
        q, k, v = jnp.split(self.qkv_proj(normed), 3, axis=-1)
        mixed = attend(q.reshape(heads), k.reshape(heads), v.reshape(heads), mask)
        mixed = self.o_proj(mixed.reshape(x.shape))
        if self.filter is not None:
            share = self.low_pass_share
            mixed = share * self.filter(normed, mask) + (1 - share) * mixed
        x = x + dropout(mixed, self.dropout, attention_key)
        hidden = jax.nn.relu(self.up_proj(self.mlp_norm(x)))
        hidden = self.down_proj(dropout(hidden, self.dropout, hidden_key))
        return x + dropout(hidden, self.dropout, mlp_key)


class _LayerNorm(nnx.Module):
    """``(x - mean) / sqrt(variance + eps) · scale + bias``, in float32."""

    def __init__(self, width: int, eps: float) -> None:
        self.scale = nnx.Param(jnp.ones((width,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((width,), jnp.float32))
        self.eps = eps

    def __call__(self, x: Float[Array, "B T W"]) -> Float[Array, "B T W"]:
        """Normalize the last axis."""
        y = x.astype(jnp.float32)
        y = y - y.mean(axis=-1, keepdims=True)
        y = y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + self.eps)
        return (y * self.scale[...][None, None] + self.bias[...][None, None]).astype(x.dtype)
