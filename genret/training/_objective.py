"""What a step minimizes: the losses of :class:`genret.config.TrainConfig`, for any model."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.config import TrainConfig, require
from genret.models import SideFeatures, capabilities_of, readout
from genret.semantic_ids import SemanticIds
from genret.training._apao import adapt_weights, draw_pairs, pairwise_losses, pointwise_losses
from genret.training._legal import LegalCodes
from genret.training._losses import code_nll, gbce_nll, mean_by_level, sampled_nll
from genret.typing import Array, Bool, Float, Int

Batch = dict[str, Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective:
    """A loss of (model, batch), and what it must know of the catalog.

    Attributes:
      codes: semantic ID of every item, int32 [N, L], on the device.
      config: which loss.
      legal: the legal codes, for the loss over those.
      proposals: for each level the share of each code in the training events, [V]: what sampled
        codes are drawn from; None draws evenly.
      item_shares: share of each item in the training events, [N], which the dense head's loss asks
        for: 0 of items that do not compete.

    >>> ids = SemanticIds.from_codes([[0, 1], [0, 2], [3, 1]])
    >>> objective = Objective.of(TrainConfig(loss="legal"), ids, item_counts=[1, 0, 1])
    >>> objective.first_weights.tolist()
    [0.5, 0.5]
    """

    # JAX puts other things than arrays into a pytree's leaves now and then, hence Any.
    codes: Any
    config: TrainConfig = dataclasses.field(metadata={"static": True})
    legal: Any = None
    proposals: Any = None
    item_shares: Any = None

    @classmethod
    def of(
        cls,
        config: TrainConfig,
        semantic_ids: SemanticIds,
        item_counts: Int[np.ndarray, "N"] | Sequence[int] | None = None,
    ) -> "Objective":
        """Prepare a loss.

        Args:
          config: which loss.
          semantic_ids: those of the items.
          item_counts: training events of each item; None: there are none.

        Raises:
          GenretError: the weights of the levels are not one a level.
        """
        levels = semantic_ids.depth
        require(
            len(config.level_weights) in (0, levels),
            f"level_weights: found {len(config.level_weights)}, expected one for each of the "
            f"{levels} levels, or none",
        )
        legal = LegalCodes.of(semantic_ids) if config.loss == "legal" else None
        seen = np.zeros(len(semantic_ids.codes), np.int64)
        if item_counts is not None:
            seen += np.asarray(item_counts, np.int64)
        proposals = None
        if config.loss == "sampled" and config.sampled_from == "popularity":
            # A code that never occurs is still drawn now and then, as if seen once.
            counts = [
                1.0 + np.bincount(semantic_ids.codes[:, level], weights=seen, minlength=count)
                for level, count in enumerate(semantic_ids.codes_per_level)
            ]
            proposals = tuple(jnp.asarray(c / c.sum(), jnp.float32) for c in counts)
        return cls(
            codes=jnp.asarray(semantic_ids.codes, jnp.int32),
            config=config,
            legal=legal,
            proposals=proposals,
            item_shares=jnp.asarray(seen / max(seen.sum(), 1), jnp.float32),
        )

    @property
    def first_weights(self) -> Float[Array, " L"]:
        """Weights of the prefixes before the first step: all equal."""
        levels = self.codes.shape[1]
        return jnp.full((levels,), 1.0 / levels, jnp.float32)

    def __call__(
        self, model: Any, batch: Batch, weights: Float[Array, " L"], key: Array
    ) -> tuple[Float[Array, ""], Float[Array, " L"]]:
        """Return the loss in nats per item, and the new weights of the prefixes.

        Args:
          model: a model with ``logits``; for the losses over the vocabulary and over samples with
            ``states`` and ``readout``, and for pairs with ``prefill`` and ``score_tail``.
          batch: ``items``, ``segments`` and ``positions``, see :mod:`genret.data.pipeline`.
          weights: weights of the prefixes.
          key: a JAX key.
        """
        config = self.config
        dropout_key, sample_key, pair_key, item_key = (
            jax.random.fold_in(key, i) if i else key for i in range(4)
        )
        items, targets = targets_of(model, batch)
        wanted = self.codes.at[items].get(mode="clip")
        forward = Forward(model, batch, self.codes, dropout_key)
        dense = None
        if capabilities_of(model).dense_share is not None:
            forward, dense = forward.with_heads()
        plain, smoothed = self._nll(forward, items, wanted, sample_key)
        by_level = mean_by_level(smoothed, targets)
        if config.level_weights:
            by_level = by_level * jnp.asarray(config.level_weights, jnp.float32)
        loss = by_level.sum()
        if dense is not None:
            nll = self._dense_nll(model, dense, items, item_key)
            loss = loss + config.dense_weight * mean_by_level(nll, targets)[0]
        if config.apao == "none":
            return loss, weights
        if config.apao == "pointwise":
            losses = pointwise_losses(mean_by_level(plain, targets))
        else:
            pairs = draw_pairs(pair_key, batch, self.codes, config.apao_negatives)
            codes, present = pairs.codes, pairs.present
            _, cache = model.prefill(pairs.history)
            scores = model.score_tail(codes, jnp.zeros(codes.shape[:2], jnp.int32), cache)
            losses = pairwise_losses(scores, codes, present)
        weights = adapt_weights(weights, losses, config.apao_rate)
        return loss + config.apao_weight * (weights * losses).sum(), weights

    def _nll(
        self,
        forward: "Forward",
        items: Int[Array, "B T"],
        wanted: Int[Array, "B T L"],
        sample_key: Array,
    ) -> tuple[Float[Array, "B T L"], Float[Array, "B T L"]]:
        """Return the losses of every code, without and with label smoothing."""
        config, model = self.config, forward.model
        if config.loss in ("sampled", "gbce"):
            nll = self._sampled(model, forward("states"), wanted, sample_key)
            return nll, nll
        codes, allowed = wanted, None
        if config.loss == "vocabulary":
            states, sizes = forward("states"), model.codes_per_level
            levels = range(len(sizes))
            logits = tuple(
                jnp.concatenate([model.readout(states[:, :, at], of) for of in levels], axis=2)
                for at in levels
            )
            codes = wanted + jnp.asarray(np.cumsum([0, *sizes[:-1]]), jnp.int32)[None, None]
        else:
            logits = forward("logits")
        if self.legal is not None:
            allowed = self.legal.at(items)
        plain = smoothed = code_nll(logits, codes, allowed=allowed)
        if config.label_smoothing > 0:
            smoothed = code_nll(logits, codes, allowed=allowed, smoothing=config.label_smoothing)
        if self.legal is not None:
            certain = self.legal.is_certain(items)
            plain, smoothed = (jnp.where(certain, 0.0, x) for x in (plain, smoothed))
        return plain, smoothed

    def _dense_nll(
        self, model: Any, states: Float[Array, "B T W"], items: Int[Array, "B T"], key: Array
    ) -> Float[Array, "B T 1"]:
        """Return the losses of the dense head: the items compete that training knows, or a sample."""
        config, shares = self.config, self.item_shares
        vectors, known = model.item_vectors(self.codes), shares > 0
        if not 0 < config.dense_negatives < len(shares):
            return code_nll(
                (readout(states, vectors),),
                items[..., None],
                allowed=(known[None, None],),
                smoothing=config.dense_smoothing,
            )
        if config.sampled_from == "uniform":
            shares = known / known.sum(dtype=jnp.float32)
        rows = jnp.arange(len(shares), dtype=jnp.int32)
        sample = jax.random.choice(key, rows, (config.dense_negatives,), p=shares)
        expected = jnp.log(config.dense_negatives * shares[sample])
        own = jnp.einsum(
            "btw,btw->bt",
            states,
            vectors.at[items].get(mode="clip"),
            preferred_element_type=jnp.float32,
        )
        others = readout(states, vectors.at[sample].get(mode="clip"))
        smoothing = config.dense_smoothing
        nll = sampled_nll(own, others, items, sample, expected, smoothing=smoothing)
        return nll[..., None]

    def _sampled(
        self, model: Any, states: Float[Array, "B T L W"], wanted: Int[Array, "B T L"], key: Array
    ) -> Float[Array, "B T L"]:
        config, size = self.config, self.config.sampled_codes
        parts = []
        for level, count in enumerate(model.codes_per_level):
            level_key = jax.random.fold_in(key, level)
            if self.proposals is None:
                sample = jax.random.randint(level_key, (size,), 0, count, jnp.int32)
                expected = jnp.full((size,), np.log(size / count), jnp.float32)
            else:
                shares = self.proposals[level]
                codes = jnp.arange(count, dtype=jnp.int32)
                sample = jax.random.choice(level_key, codes, (size,), p=shares)
                expected = jnp.log(size * shares[sample])
            hidden = states[:, :, level]
            others = model.readout(hidden, level, sample)
            own = model.score(hidden, level, wanted[:, :, level])
            codes = wanted[:, :, level]
            if config.loss == "gbce":
                parts.append(gbce_nll(own, others, codes, sample, count, config.gbce_calibration))
            else:
                parts.append(sampled_nll(own, others, codes, sample, expected))
        return jnp.stack(parts, axis=2)


@dataclasses.dataclass(frozen=True)
class Forward:
    """The model on a batch: ``forward("logits")`` or ``forward("states")``.

    Attributes:
      model: the model.
      batch: the batch.
      codes: semantic ID of every item.
      dropout_key: a JAX key.
      states: what ``forward("states")`` has returned; None: nothing yet.
    """

    model: Any
    batch: Batch
    codes: Int[Array, "N L"]
    dropout_key: Array
    states: Any = None

    def with_heads(self) -> "tuple[Forward, Float[Array, 'B T W']]":
        """Run both heads of the model on one pass over the items; return the dense head's states."""
        states, dense = self("heads")
        return dataclasses.replace(self, states=states), dense

    def __call__(self, method: str) -> Any:
        """Call a method of the model."""
        if self.states is not None:
            if method == "states":
                return self.states
            levels = range(self.states.shape[2])
            return tuple(self.model.readout(self.states[:, :, at], at) for at in levels)
        batch = self.batch
        inputs = self.codes.at[jnp.maximum(batch["items"], 0)].get(mode="clip")
        side = {}
        if capabilities_of(self.model).reads_side:
            parts = {name: batch.get(name) for name in ("items", "gaps", "users")}
            side = {"side": SideFeatures(**parts)}
        return getattr(self.model, method)(
            inputs, batch["segments"], batch["positions"], dropout_key=self.dropout_key, **side
        )


def targets_of(model: Any, batch: Batch) -> tuple[Int[Array, "B T"], Bool[Array, "B T"]]:
    """Return the items to predict, and which of them count; [B, 1] of a model of one target a row."""
    items, present = jnp.maximum(batch["items"], 0), batch["segments"] > 0
    if capabilities_of(model).one_target_a_row:
        last = jnp.maximum(present.sum(axis=1, keepdims=True, dtype=jnp.int32) - 1, 0)
        items = jnp.take_along_axis(items, last, axis=1)
        present = present[:, :1]
    return items, present
