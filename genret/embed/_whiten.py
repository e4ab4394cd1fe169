"""Vectors whose directions differ less in variance."""

import dataclasses

import numpy as np

from genret.errors import GenretError
from genret.typing import Float, Vectors

_ROWS = 65536
_NOISE = 1e-6
"""Directions with less than this part of the largest variance are left out: they are rounding."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Whitening:
    r"""Divides each principal direction by a power of its standard deviation.

    With mean μ, covariance :math:`U Λ U^T` and power p, rows become

        y = (x − μ) U Λ^{−p/2} Uᵀ,

    scaled to the root mean square length of x − μ. A power of 1 is whitening: all directions have
    one variance. Items that are nearly alike differ in directions of little variance, so they come
    to lie further apart; what most items share weighs less.

    Attributes:
      mean: μ, float64 [D].
      turn: what x − μ is multiplied by, float64 [D, D].

    Source: Jégou, Chum, "Negative evidences and co-occurrences in image retrieval", 2012 (whitening);
      Su et al., "Whitening sentence representations", 2021.

    >>> x = np.array([[4, 0], [-4, 0], [0, 1], [0, -1]], np.float32)
    >>> y = Whitening.fit(x, 1.0).apply(x)
    >>> [round(float(v), 3) for v in y.var(axis=0)]
    [4.25, 4.25]
    """

    mean: Float[np.ndarray, "D"]
    turn: Float[np.ndarray, "D D"]

    @classmethod
    def fit(cls, vectors: Vectors, power: float) -> "Whitening":
        """Measure the directions of vectors.

        Args:
          vectors: float32 [N, D].
          power: 0 (only the mean is taken off) to 1.

        Raises:
          GenretError: another power.
        """
        if not 0 <= power <= 1:
            raise GenretError(f"power: found {power}, expected 0 to 1")
        mean = vectors.mean(axis=0, dtype=np.float64)
        return cls(mean=mean, turn=_turn(vectors, mean, power))

    def apply(self, vectors: Vectors) -> Float[np.ndarray, "N D"]:
        """Return vectors whitened as those were that were measured, float32 [N, D]."""
        result = np.empty(vectors.shape, np.float32)
        for first in range(0, len(vectors), _ROWS):
            rows = vectors[first : first + _ROWS]
            result[first : first + _ROWS] = (rows - self.mean[None, :]) @ self.turn
        return result


def whiten(vectors: Vectors, power: float) -> Float[np.ndarray, "N D"]:
    """Measure a :class:`Whitening` of vectors float32 [N, D] and apply it to them.

    Raises:
      GenretError: a power outside 0 to 1.

    >>> x = np.array([[4, 0], [-4, 0], [0, 1], [0, -1]], np.float32)
    >>> [round(float(v), 3) for v in whiten(x, 1.0).var(axis=0)]
    [4.25, 4.25]
    """
    return Whitening.fit(vectors, power).apply(vectors)


def _turn(vectors: Vectors, mean: Float[np.ndarray, "D"], power: float) -> Float[np.ndarray, "D D"]:
    scatter = np.zeros((vectors.shape[1],) * 2)
    for first in range(0, len(vectors), _ROWS):
        rows = vectors[first : first + _ROWS] - mean[None, :]
        scatter += rows.T @ rows
    variances, axes = np.linalg.eigh(scatter / len(vectors))
    kept = variances > _NOISE * variances.max()
    factors = np.where(kept, np.where(kept, variances, 1) ** (-power / 2), 0)
    spread = np.sum(np.where(kept, variances, 0))
    after = np.sum(np.where(kept, variances * factors**2, 0))
    turn: np.ndarray = (axes * factors[None, :]) @ axes.T
    return turn * np.sqrt(spread / after if after else 1)
