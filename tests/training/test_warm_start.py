"""Shrink-and-perturb: what moves, what stays, what is refused."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from genret.config import ItemDecoderConfig
from genret.errors import GenretError
from genret.models import build_model
from genret.training import shrink_and_perturb

CONFIG = ItemDecoderConfig(
    codes_per_level=(5, 4), width=8, heads=1, kv_heads=1, head_dim=8, mlp_dim=8, layers=1,
    item_vectors=True, num_items=3, vector_dim=2,
)  # fmt: skip


def test_matrices_are_mixed_and_the_rest_stays() -> None:
    trained, fresh = build_model(CONFIG, 0), build_model(CONFIG, 1)
    trained.features.set_vectors(np.ones((3, 2), np.float32))
    trained.item_norm.scale[...] = trained.item_norm.scale[...] * 3
    mixed = shrink_and_perturb(trained, fresh, shrink=0.4, perturb=0.2)
    states = [dict(nnx.to_flat_state(nnx.state(m, nnx.Param))) for m in (trained, fresh, mixed)]
    for path, old in states[0].items():
        new, found = np.asarray(states[1][path][...]), np.asarray(states[2][path][...])
        if found.ndim >= 2 and "frozen_vectors" not in path:
            np.testing.assert_allclose(found, 0.4 * np.asarray(old[...]) + 0.2 * new, rtol=1e-6)
        else:
            np.testing.assert_array_equal(found, old[...])
    whole = shrink_and_perturb(trained, fresh, shrink=1.0, perturb=0.0)
    jax.tree.map(np.testing.assert_array_equal, nnx.state(whole), nnx.state(trained))


def test_misuse_is_refused() -> None:
    trained = build_model(CONFIG, 0)
    wider = build_model(dataclasses.replace(CONFIG, width=16), 0)
    with pytest.raises(GenretError, match="warm start: the trained model has another architecture"):
        shrink_and_perturb(trained, wider)
    with pytest.raises(GenretError, match=r"shrink: found -0\.1, expected a finite number"):
        shrink_and_perturb(trained, trained, shrink=-0.1)
