"""The truncated SVD against NumPy's full one."""

import numpy as np
import pytest
import scipy.sparse as sp

from genret.embed._svd import truncated_svd, unit_rows


def matrix(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Return a sparse matrix with a decaying spectrum, as a dense array."""
    rng = np.random.default_rng(seed)
    rank = min(rows, columns)
    left, right = rng.normal(size=(rows, rank)), rng.normal(size=(rank, columns))
    dense = (left * 0.7 ** np.arange(rank)[None, :]) @ right
    return np.where(rng.random((rows, columns)) < 0.5, dense, 0).astype(np.float32)


@pytest.mark.parametrize("shape", [(60, 40), (40, 60), (300, 25), (5, 5), (1, 7), (7, 1)])
def test_equals_the_full_decomposition(shape: tuple[int, int]) -> None:
    dense = matrix(*shape)
    rank = min(4, *shape)
    left, values, right = truncated_svd(sp.csr_matrix(dense), rank, seed=3)
    full_left, full_values, _ = np.linalg.svd(dense.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(values, full_values[:rank], rtol=1e-3)
    np.testing.assert_allclose(left.T @ left, np.eye(rank), atol=1e-4)
    # Vectors are equal but for their signs.
    cosines = np.abs(np.sum(left * full_left[:, :rank], axis=0))
    np.testing.assert_allclose(cosines, 1, atol=1e-2)
    np.testing.assert_allclose(dense @ right, left * values[None, :], atol=1e-4 * values[0])


def test_columns_beyond_the_rank_are_zero() -> None:
    dense = np.outer(np.arange(1, 7), [1, 2, 0, 1]).astype(np.float32)
    left, values, right = truncated_svd(sp.csr_matrix(dense), 10, seed=0)
    assert left.shape == (6, 10)
    assert right.shape == (4, 10)
    assert (right[:, 1:] == 0).all()
    assert (values[1:] == 0).all()
    assert (left[:, 1:] == 0).all()
    np.testing.assert_allclose(np.outer(left[:, 0] * values[0], [1, 2, 0, 1]) / 6**0.5, dense, 1e-5)


def test_a_matrix_of_zeros_gives_zeros() -> None:
    left, values, right = truncated_svd(sp.csr_matrix((4, 5), dtype=np.float32), 2, seed=0)
    assert not left.any()
    assert not values.any()
    assert not right.any()


def test_signs_do_not_depend_on_the_seed() -> None:
    dense = matrix(50, 30)
    first, second = (truncated_svd(sp.csr_matrix(dense), 3, seed)[0] for seed in (1, 2))
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_unit_rows_keep_zeros() -> None:
    found = unit_rows(np.array([[3, 4], [0, 0]], np.float32))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]])
