r"""APAO: losses of the prefixes that a beam must keep, weighed towards the worst one.

Beam search forgets an item as soon as one of its prefixes is pruned, whatever its whole likelihood
is. APAO adds to the cross-entropy

.. math:: \beta \sum_{m=1}^{L} w_m L_m

with :math:`L_m` the loss of the prefixes of m codes, and moves the weights to the worst one:

.. math:: w_m \leftarrow \frac{w_m e^{\eta L_m}}{\sum_k w_k e^{\eta L_k}}

which is the maximum of :math:`\sum w_m L_m - KL(w \Vert w_{old}) / \eta`. The weights start equal,
carry over from step to step, and have no gradient.

Source: APAO, arXiv 2603.02730, 2026.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genret.models import History, SideFeatures
from genret.typing import Array, Bool, Float, Int


def pointwise_losses(nll: Float[Array, " L"]) -> Float[Array, " L"]:
    r"""Mean loss of the codes of each prefix, :math:`L_m = \frac1m \sum_{l \le m} -\log p(c_l)`.

    Args:
      nll: mean negative log-likelihood of each level's code, float32 [L].

    >>> pointwise_losses(jnp.array([4.0, 2.0, 0.0])).tolist()
    [4.0, 3.0, 2.0]
    """
    return jnp.cumsum(nll) / jnp.arange(1, nll.size + 1, dtype=nll.dtype)


def pairwise_losses(
    scores: Float[Array, "B C L"], codes: Int[Array, "B C L"], present: Bool[Array, " B"]
) -> Float[Array, " L"]:
    r"""Loss of each prefix of the target against those of other items.

    .. math:: L_m = -\log \frac{e^{S^m_+}}{e^{S^m_+} + \sum_j e^{S^m_j}}, \qquad
        S^m = \sum_{l \le m} \log p(c_l \mid c_{<l})

    An item whose prefix equals the target's is not its rival at that length and is left out.

    Args:
      scores: log-probability of each code given those before it; candidate 0 is the target.
      codes: codes of the candidates.
      present: requests that count.

    Returns:
      The mean over the requests for each m, float32 [L].
    """
    sums = jnp.cumsum(scores, axis=2)
    equal = jnp.cumprod((codes == codes[:, :1]).astype(jnp.int32), axis=2) > 0
    is_target = (jnp.arange(codes.shape[1], dtype=jnp.int32) == 0)[None, :, None]
    rivals = jnp.where(equal & ~is_target, -jnp.inf, sums)
    losses = jax.nn.logsumexp(rivals, axis=1) - sums[:, 0]
    losses = jnp.where(present[:, None], losses, 0.0)
    return losses.sum(axis=0) / jnp.maximum(present.sum(dtype=jnp.float32), 1)


def adapt_weights(
    weights: Float[Array, " L"], losses: Float[Array, " L"], rate: float
) -> Float[Array, " L"]:
    """Move weight to the worst prefix; the result sums to 1 and has no gradient.

    >>> weights = adapt_weights(jnp.array([0.5, 0.5]), jnp.array([jnp.log(3.0), 0.0]), 1.0)
    >>> [round(x, 3) for x in weights.tolist()]
    [0.75, 0.25]
    """
    return jax.nn.softmax(jnp.log(weights) + rate * jax.lax.stop_gradient(losses))


class Pairs(NamedTuple):
    """Targets and what they compete with.

    Attributes:
      history: the items before each target.
      codes: of the target and the negatives, C = 1 + negatives, int32 [B, C, L].
      present: which rows have a target at all, bool [B].
    """

    history: History
    codes: Any
    present: Any


def draw_pairs(
    key: Array, batch: dict[str, Array], codes: Int[Array, "N L"], negatives: int
) -> Pairs:
    """Choose a target in each row of a batch, and items that it competes with.

    Args:
      key: a JAX key.
      batch: ``items``, ``segments`` and ``positions``, see :mod:`genret.data.pipeline`.
      codes: semantic ID of every item.
      negatives: items drawn evenly from the catalog, with replacement.
    """
    items, rows = batch["items"], batch["items"].shape[0]
    target_key, negative_key = jax.random.split(key)
    noise = jnp.where(
        batch["segments"] > 0, jax.random.uniform(target_key, items.shape, jnp.float32), -1.0
    )
    at = jax.lax.argmax(noise, 1, jnp.int32)[:, None]
    lengths = jnp.take_along_axis(batch["positions"], at, axis=1)
    slots = jnp.clip(
        at - lengths + jnp.arange(items.shape[1] - 1, dtype=jnp.int32)[None], 0, items.shape[1] - 1
    )
    past = {
        name: jnp.take_along_axis(batch[name], slots, axis=1)
        for name in ("items", "gaps")
        if name in batch
    }
    users = jnp.take_along_axis(batch["users"], at, axis=1) if "users" in batch else None
    history = History(
        codes=_codes_of(codes, past["items"]),
        lengths=lengths[:, 0],
        side=SideFeatures(**past, users=users),
    )
    target = jnp.take_along_axis(items, at, axis=1)
    others = jax.random.randint(negative_key, (rows, negatives), 0, codes.shape[0], jnp.int32)
    candidates = _codes_of(codes, jnp.concatenate([target, others], axis=1))
    return Pairs(history, candidates, noise.max(axis=1) >= 0)


def _codes_of(codes: Array, items: Array) -> Any:
    return codes.at[jnp.maximum(items, 0)].get(mode="clip")
