"""Losses over the codes of the next item."""

import jax
import jax.numpy as jnp

from genret.typing import Array, Bool, Float, Int


def code_loss(
    logits: tuple[Float[Array, "B T _"], ...],
    codes: Int[Array, "B T L"],
    targets: Bool[Array, "B T"],
) -> tuple[Float[Array, ""], Float[Array, " L"]]:
    r"""Cross-entropy of the codes of every target item, each over its own level's codes.

    .. math:: -\frac{1}{|T|}\sum_{t \in T} \sum_{l=1}^{L} \log p(c_{t,l} \mid c_{t,<l}, h_t)

    which is the mean negative log-likelihood of an item.

    Args:
      logits: for each level, float32 [B, T, V].
      codes: the codes of the items to predict, int32 [B, T, L].
      targets: which positions hold an item to predict, bool [B, T].

    Returns:
      The loss in nats per item, float32, and its parts by level, float32 [L].

    >>> uniform = (jnp.zeros((1, 2, 4)), jnp.zeros((1, 2, 8)))
    >>> loss, _ = code_loss(uniform, jnp.zeros((1, 2, 2), int), jnp.array([[True, False]]))
    >>> bool(jnp.allclose(jnp.exp(loss), 4 * 8))
    True
    """
    count = jnp.maximum(targets.sum(), 1)
    parts = []
    for level, scores in enumerate(logits):
        # Padding may hold any code: it is masked after the gather, so it must only be in range.
        chosen = jnp.take_along_axis(scores, codes[:, :, level, None], axis=2, mode="clip")[..., 0]
        nll = jax.nn.logsumexp(scores, axis=2) - chosen
        parts.append(jnp.where(targets, nll, 0.0).sum() / count)
    by_level = jnp.stack(parts)
    return by_level.sum(), by_level
