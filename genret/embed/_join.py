"""Several item vectors side by side."""

from collections.abc import Sequence

import numpy as np

from genret.errors import GenretError
from genret.typing import Float, Vectors


def join_vectors(
    parts: Sequence[Float[np.ndarray, "_ _"]], weights: Sequence[float | int]
) -> Vectors:
    """Put weighted parts side by side: squared distances of the result are weighted sums.

    Args:
      parts: vectors of the same N items, float32 [N, D_i].
      weights: one a part, 0 or more.

    Returns:
      float32 [N, Σ D_i].

    Raises:
      GenretError: no parts, different N, or weights that do not fit.

    >>> join_vectors([np.ones((2, 1), np.float32), np.eye(2, dtype=np.float32)], [1, 2]).tolist()
    [[1.0, 2.0, 0.0], [1.0, 0.0, 2.0]]
    """
    if not parts or len(parts) != len(weights):
        raise GenretError(f"weights: found {len(weights)} for {len(parts)} parts of the vectors")
    for i, (part, weight) in enumerate(zip(parts, weights, strict=True)):
        if len(part) != len(parts[0]):
            raise GenretError(f"parts[{i}]: found {len(part)} rows, expected {len(parts[0])}")
        if not (np.isfinite(weight) and weight >= 0):
            raise GenretError(f"weights[{i}]: found {weight}, expected a finite number, 0 or more")
    if not any(weights):
        raise GenretError("weights: all are 0, expected one above 0")
    return np.concatenate(
        [part * np.float32(w) for part, w in zip(parts, weights, strict=True)],
        axis=1,
        dtype=np.float32,
    )
