"""Vectors whose directions differ less in variance."""

import numpy as np

from genret.errors import GenretError
from genret.typing import Float, Vectors

_ROWS = 65536
_NOISE = 1e-6
"""Directions with less than this part of the largest variance are left out: they are rounding."""


def whiten(vectors: Vectors, power: float) -> Float[np.ndarray, "N D"]:
    r"""Divide each principal direction by a power of its standard deviation.

    With mean μ, covariance :math:`U Λ U^T` and power p, rows become

        y = (x − μ) U Λ^{−p/2} Uᵀ,

    scaled to the root mean square length of x − μ. A power of 1 is whitening: all directions have
    one variance. Items that are nearly alike differ in directions of little variance, so they come
    to lie further apart; what most items share weighs less.

    Args:
      vectors: float32 [N, D].
      power: 0 (only the mean is taken off) to 1.

    Returns:
      float32 [N, D].

    Raises:
      GenretError: another power.

    Source: Jégou, Chum, "Negative evidences and co-occurrences in image retrieval", 2012 (whitening);
      Su et al., "Whitening sentence representations", 2021.

    >>> x = np.array([[4, 0], [-4, 0], [0, 1], [0, -1]], np.float32)
    >>> y = whiten(x, 1.0)
    >>> [round(float(v), 3) for v in y.var(axis=0)]
    [4.25, 4.25]
    """
    if not 0 <= power <= 1:
        raise GenretError(f"power: found {power}, expected 0 to 1")
    mean = vectors.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((vectors.shape[1],) * 2)
    for first in range(0, len(vectors), _ROWS):
        rows = vectors[first : first + _ROWS] - mean[None, :]
        scatter += rows.T @ rows
    variances, axes = np.linalg.eigh(scatter / len(vectors))
    kept = variances > _NOISE * variances.max()
    factors = np.where(kept, np.where(kept, variances, 1) ** (-power / 2), 0)
    spread = np.sum(np.where(kept, variances, 0))
    after = np.sum(np.where(kept, variances * factors**2, 0))
    turn = (axes * factors[None, :]) @ axes.T * np.sqrt(spread / after if after else 1)
    result = np.empty(vectors.shape, np.float32)
    for first in range(0, len(vectors), _ROWS):
        result[first : first + _ROWS] = (vectors[first : first + _ROWS] - mean[None, :]) @ turn
    return result
