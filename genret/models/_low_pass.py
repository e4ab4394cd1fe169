"""A filter of slow frequencies beside attention: BSARec's, in a form in which every position is a target."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from genret.typing import Array, Bool, Float


def low_pass_kernel(window: int, frequencies: int) -> Float[np.ndarray, " T"]:
    r"""Return what each lag weighs in the slow part of the newest position of a window.

    With T positions and the F lowest frequencies of their real Fourier transform,

    .. math:: D(k) = \frac1T \sum_{f < F} m_f \cos(2 \pi f k / T),

    where :math:`m_f` is 1 for f = 0 and f = T / 2, and 2 otherwise.

    Args:
      window: T.
      frequencies: F, at least 1.

    Returns:
      float32 [T], by lag from 0.

    >>> low_pass_kernel(4, 1).tolist()
    [0.25, 0.25, 0.25, 0.25]
    >>> bool(np.allclose(low_pass_kernel(4, 3), [1, 0, 0, 0], atol=1e-6))
    True
    """
    f = np.arange(min(frequencies, window // 2 + 1))
    times = np.where((f == 0) | (2 * f == window), 1.0, 2.0)
    waves = np.cos(2 * np.pi * f[:, None] * np.arange(window)[None] / window)
    return ((times[:, None] * waves).sum(axis=0) / window).astype(np.float32)


class FrequencyFilter(nnx.Module):
    r"""Split the newest positions into a slow and a fast part, and weigh the fast one by feature.

    .. math:: \bar x_t = \sum_{k \ge 0} D(k)\, x_{t-k}, \qquad
        y_t = \bar x_t + \beta^2 \odot (x_t - \bar x_t)

    This is what BSARec's Fourier transform gives at the last position of a window that ends at t
    and is filled with zeros before the history begins. Its own filter runs over a whole window and
    lets earlier positions see later ones, so it trains on one target a row; here each position sees
    what is before it, and every position is a target.

    Source: Shin et al., An Attentive Inductive Bias for Sequential Recommendation beyond the
      Self-Attention (BSARec), arXiv 2312.10325, 2024.

    Args:
      window: T, positions of a full history.
      frequencies: F, see :func:`low_pass_kernel`.
      width: features.
      rngs: source of β's initial values, of a normal distribution as in the authors' code.
    """

    def __init__(self, window: int, frequencies: int, width: int, *, rngs: nnx.Rngs) -> None:
        self.window, self.frequencies = window, frequencies
        start = nnx.initializers.normal(1.0)
        self.root_beta = nnx.Param(start(rngs.params(), (width,), jnp.float32))

    def __call__(
        self, x: Float[Array, "B T W"], mask: Bool[Array, "B T T"]
    ) -> Float[Array, "B T W"]:
        """Filter rows; position t (axis 1 of ``mask``) sees position s (axis 2) where it is true."""
        kernel = np.zeros(max(self.window, x.shape[1]), np.float32)
        kernel[: self.window] = low_pass_kernel(self.window, self.frequencies)
        places = np.arange(x.shape[1])
        by_lag = kernel[np.abs(places[:, None] - places[None])]
        weights = jnp.where(mask, by_lag[None], 0).astype(x.dtype)
        slow = jnp.einsum("bts,bsw->btw", weights, x)
        beta = jnp.square(self.root_beta[...].astype(x.dtype))[None, None]
        return slow + beta * (x - slow)
