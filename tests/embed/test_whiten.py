"""Whitening: equal variances, a power between, degenerate vectors."""

import numpy as np
import pytest

from genret.embed import whiten
from genret.errors import GenretError

RNG = np.random.default_rng(0)
VECTORS = (RNG.normal(size=(500, 5)) * [9, 3, 1, 0.3, 0.1] @ RNG.normal(size=(5, 5)) + 4).astype(
    np.float32
)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_variances_come_nearer(power: float) -> None:
    found = whiten(VECTORS, power)
    before, after = (np.linalg.eigvalsh(np.cov(v.T, bias=True)) for v in (VECTORS, found))
    ratios = (before / before[-1]) ** (1 - power)
    np.testing.assert_allclose(after / after[-1], ratios, rtol=2e-2)
    np.testing.assert_allclose(after.sum(), before.sum(), rtol=1e-3)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-3)


def test_a_direction_without_variance_stays_one() -> None:
    flat = np.concatenate([VECTORS[:, :2], np.ones((500, 1), np.float32)], axis=1)
    found = whiten(flat, 1.0)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, 2], 0, atol=1e-3)
    assert not whiten(np.ones((3, 2), np.float32), 1.0).any()
    with pytest.raises(GenretError, match=r"power: found 2\.0, expected 0 to 1"):
        whiten(flat, 2.0)
