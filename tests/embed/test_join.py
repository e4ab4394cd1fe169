"""Parts side by side."""

import numpy as np
import pytest

from genret.embed import join_vectors
from genret.errors import GenretError


def test_squared_distances_are_weighted_sums() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((5, 3), np.float32), rng.random((5, 7), np.float32)
    joined = join_vectors([a, b], [2, 0.5])
    assert joined.shape == (5, 10)
    assert joined.dtype == np.float32

    def distance(v: np.ndarray) -> float:
        return float(((v[0] - v[1]) ** 2).sum())

    assert distance(joined) == pytest.approx(4 * distance(a) + 0.25 * distance(b), rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "weights", "message"),
    [
        ((), (), "weights: found 0"),
        ((3, 3), (1,), "weights: found 1 for 2"),
        ((3, 4), (1, 1), r"parts\[1\]: found 4 rows, expected 3"),
        ((3, 3), (1, -1), r"weights\[1\]: found -1"),
        ((3, 3), (float("nan"), 1), r"weights\[0\]: found nan"),
        ((3, 3), (0, 0), "all are 0"),
    ],
)
def test_bad_parts_are_refused(rows: tuple, weights: tuple, message: str) -> None:
    with pytest.raises(GenretError, match=message):
        join_vectors([np.ones((n, 2), np.float32) for n in rows], weights)
