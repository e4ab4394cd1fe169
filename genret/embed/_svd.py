"""Truncated singular value decomposition of a large sparse matrix."""

import numpy as np
import scipy.sparse as sp

from genret.typing import Float

_OVERSAMPLE = 16
_POWER_ITERATIONS = 4
_ROWS = 2048


def truncated_svd(
    matrix: sp.csr_matrix, rank: int, seed: int
) -> tuple[Float[np.ndarray, "N R"], Float[np.ndarray, "R"], Float[np.ndarray, "P R"]]:
    """Return the leading singular vectors and values of a sparse matrix.

    A randomized range finder with power iterations finds the leading right singular subspace Q,
    then the small matrix (AQ)ᵀ(AQ) = WΣ²Wᵀ gives A ≈ (AQ)W·(QW)ᵀ. Dense blocks are
    [N, rank + 16] and [P, rank + 16]; nothing of size N·P is formed.

    The sign of each singular vector is free: here the largest entry of the right one is positive.

    Args:
      matrix: float32 [N, P].
      rank: R, singular vectors wanted; those beyond the rank of the matrix are zero.
      seed: of the random start.

    Returns:
      U float32 [N, R], orthonormal columns in descending order of the values, the singular values
      float32 [R], and V float32 [P, R]; AV ≈ U·diag(values).

    Source: Halko, Martinsson, Tropp, "Finding structure with randomness", 2011, algorithm 4.4.
    """
    num_rows, num_columns = matrix.shape
    size = min(rank + _OVERSAMPLE, num_rows, num_columns)
    start = np.random.default_rng(seed).standard_normal((num_columns, size), dtype=np.float32)
    basis = _orthonormal(start)
    transposed = matrix.T.tocsr()
    for _ in range(_POWER_ITERATIONS):
        basis = _orthonormal(transposed @ (matrix @ basis))
    image = matrix @ basis
    squares, rotation = np.linalg.eigh(_gram(image))
    order = np.argsort(-squares, kind="stable")[:rank]
    values = np.sqrt(np.maximum(squares[order], 0))
    rotation = rotation[:, order].astype(np.float32)
    right = basis @ rotation
    largest = right[np.abs(right).argmax(axis=0), np.arange(right.shape[1])]
    signs = np.where(largest < 0, -1, 1).astype(np.float32)
    # float32 leaves noise of about 1e-7 of the largest value where the rank ends.
    real = values > 1e-5 * max(values.max(initial=0), np.finfo(np.float32).tiny)
    inverse = np.where(real, signs / np.where(real, values, 1), 0).astype(np.float32)

    left = np.zeros((num_rows, rank), np.float32)
    left[:, : len(order)] = (image @ rotation) * inverse[None, :]
    padded = np.zeros(rank, np.float32)
    padded[: len(order)] = np.where(real, values, 0)
    turned = np.zeros((num_columns, rank), np.float32)
    turned[:, : len(order)] = right * np.where(real, signs, 0)[None, :]
    return left, padded, turned


def _orthonormal(block: Float[np.ndarray, "P R"]) -> Float[np.ndarray, "P Q"]:
    """Return an orthonormal basis of the columns' span, of as many columns as it has dimensions.

    Through the small Gram matrix, twice because the first time loses digits where columns are
    nearly dependent: many times faster than a QR of a tall block.
    """
    for _ in range(2):
        squares, rotation = np.linalg.eigh(_gram(block))
        # Below this share lies the rounding of float32.
        real = squares > 1e-12 * squares.max(initial=0)
        scaled = rotation[:, real] / np.sqrt(squares[real])[None, :]
        block = block @ scaled.astype(np.float32)
    return block


def _gram(block: Float[np.ndarray, "P R"]) -> Float[np.ndarray, "R R"]:
    """Return blockᵀ·block in float64, a few rows at a time."""
    total = np.zeros((block.shape[1], block.shape[1]))
    for first in range(0, len(block), _ROWS):
        rows = block[first : first + _ROWS].astype(np.float64)
        total += rows.T @ rows
    return total


def unit_rows(vectors: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    """Scale each row to unit length; rows of zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
