"""Cross-entropies over the codes of the next item, one figure for each code of each target."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from genret.typing import Array, Bool, Float, Int

MASKED = -1e30
"""Logit of a code that does not compete: finite, so that no gradient becomes NaN."""


def code_nll(
    logits: Sequence[Float[Array, "B T _"]],
    codes: Int[Array, "B T L"],
    *,
    allowed: Sequence[Bool[Array, "#B #T _"]] | None = None,
    smoothing: float = 0.0,
) -> Float[Array, "B T L"]:
    r"""Negative log-likelihood of every code, given those before it.

    .. math:: (1 - \varepsilon)\,(-\log p(c_{t,l} \mid c_{t,<l}, h_t))
        + \frac{\varepsilon}{|A|} \sum_{a \in A} -\log p(a \mid c_{t,<l}, h_t)

    with :math:`A` the codes that compete, over which :math:`p` is normalized, and
    :math:`\varepsilon` the label smoothing.

    Source: Szegedy et al., Rethinking the Inception Architecture, 2016 (label smoothing).

    Args:
      logits: for each level, float32 [B, T, V].
      codes: the codes of the items to predict, int32 [B, T, L]; the position of a code in its
        level's logits.
      allowed: for each level, the codes that compete, bool [B, T, V], or [1, 1, V] of all targets;
        None: all of them.
      smoothing: share of the target that is spread evenly over the codes that compete.

    Returns:
      Nats, float32 [B, T, L]. What padding holds means nothing.

    >>> uniform = (jnp.zeros((1, 1, 4)), jnp.zeros((1, 1, 8)))
    >>> jnp.exp(code_nll(uniform, jnp.zeros((1, 1, 2), int))).round(3).tolist()
    [[[4.0, 8.0]]]
    """
    parts = []
    for level, scores in enumerate(logits):
        if allowed is not None:
            scores = jnp.where(allowed[level], scores, MASKED)
        # Padding may hold any code: it is masked later, so it must only be in range.
        chosen = jnp.take_along_axis(scores, codes[:, :, level, None], axis=2, mode="clip")[..., 0]
        total = jax.nn.logsumexp(scores, axis=2)
        nll = total - chosen
        if smoothing > 0:
            if allowed is None:
                mean = scores.mean(axis=2)
            else:
                count = jnp.maximum(allowed[level].sum(axis=2, dtype=jnp.float32), 1)
                mean = jnp.where(allowed[level], scores, 0.0).sum(axis=2) / count
            nll = (1 - smoothing) * nll + smoothing * (total - mean)
        parts.append(nll)
    return jnp.stack(parts, axis=2)


def mean_by_level(nll: Float[Array, "B T L"], targets: Bool[Array, "B T"]) -> Float[Array, " L"]:
    """Average each level's losses over the targets; 0 where there are none.

    >>> mean_by_level(jnp.array([[[1.0, 2.0], [9.0, 9.0]]]), jnp.array([[True, False]])).tolist()
    [1.0, 2.0]
    """
    total = jnp.where(targets[:, :, None], nll, 0.0).sum(axis=(0, 1))
    return total / jnp.maximum(targets.sum(dtype=jnp.float32), 1)


def sampled_nll(
    own: Float[Array, "B T"],
    others: Float[Array, "B T S"],
    codes: Int[Array, "B T"],
    sample: Int[Array, " S"],
    log_expected: Float[Array, " S"],
    *,
    smoothing: float = 0.0,
) -> Float[Array, "B T"]:
    r"""Sampled softmax of one level: the code against a sample that all targets share.

    .. math:: -\log \frac{e^{s_c}}{e^{s_c} + \sum_{j: a_j \ne c} e^{s_j - \log S q_j}}

    In expectation over the sample the denominator is that of the whole level, without the part
    of :math:`c` counted twice. With label smoothing, the mean logit of the level stands for a share
    of the target's; it is estimated from the sample. Sources: Jean et al., On Using Very Large Target Vocabulary, 2015;
    Yi et al., Sampling-Bias-Corrected Neural Modeling, 2019.

    Args:
      own: logits of the codes to predict, float32 [B, T].
      others: logits of the sampled codes, float32 [B, T, S].
      codes: the codes to predict, int32 [B, T].
      sample: the S sampled codes a_j, with repetitions.
      log_expected: log of how often each is expected in the sample, ``log S q_j``.
      smoothing: share of the target that is spread evenly over the level.

    Returns:
      Nats, float32 [B, T].

    >>> one = jnp.zeros((1, 1))
    >>> sample = jnp.array([1, 2, 3, 3])
    >>> expected = jnp.log(jnp.full(4, 4 * 0.25))
    >>> float(jnp.exp(sampled_nll(one, jnp.zeros((1, 1, 4)), jnp.array([[3]]), sample, expected))[0, 0])
    3.0
    """
    corrected = others - log_expected[None, None, :]
    corrected = jnp.where(sample[None, None, :] == codes[:, :, None], MASKED, corrected)
    total = jax.nn.logsumexp(jnp.concatenate([own[:, :, None], corrected], axis=2), axis=2)
    if smoothing == 0:
        return total - own
    # A code that is drawn twice as often counts half as much.
    mean = others @ jax.nn.softmax(-log_expected)
    return total - (1 - smoothing) * own - smoothing * mean


def gbce_nll(
    own: Float[Array, "B T"],
    others: Float[Array, "B T S"],
    codes: Int[Array, "B T"],
    sample: Int[Array, " S"],
    count: int,
    calibration: float,
) -> Float[Array, "B T"]:
    r"""Generalized binary cross-entropy of one level: the code against an even sample.

    .. math:: -\log \sigma^\beta(s_c) - \sum_{j: a_j \ne c} \log (1 - \sigma(s_j)), \qquad
        \beta = \alpha \left(t \left(1 - \tfrac1\alpha\right) + \tfrac1\alpha\right), \quad
        \alpha = \frac{S}{V - 1}

    A sample of negatives makes a binary cross-entropy overconfident; the power :math:`\beta` undoes
    it, all of it for :math:`t = 1`.

    Source: Petrov and Macdonald, gSASRec: Reducing Overconfidence in Sequential Recommendation
    Trained with Negative Sampling, 2023.

    Args:
      own: logits of the codes to predict, float32 [B, T].
      others: logits of the sampled codes, float32 [B, T, S].
      codes: the codes to predict, int32 [B, T].
      sample: the S sampled codes a_j, with repetitions.
      count: V, codes of the level.
      calibration: t.

    Returns:
      The loss, float32 [B, T].

    >>> zero, sample = jnp.zeros((1, 1)), jnp.array([1, 2])
    >>> loss = gbce_nll(zero, jnp.zeros((1, 1, 2)), jnp.array([[2]]), sample, 5, 0.0)
    >>> (loss / jnp.log(2)).round(4).tolist()
    [[2.0]]
    """
    alpha = min(1.0, len(sample) / max(count - 1, 1))
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    negative = jnp.where(sample[None, None, :] == codes[:, :, None], 0, jax.nn.softplus(others))
    return beta * jax.nn.softplus(-own) + negative.sum(axis=2)
