"""The frequency filter: what a Fourier transform of each position's own window gives."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.config import SASRecModelConfig
from genret.errors import GenretError
from genret.models import History, build_model
from genret.models._attention import causal_mask
from genret.models._low_pass import FrequencyFilter, low_pass_kernel

CONFIG = SASRecModelConfig(
    codes_per_level=(11,), width=16, mlp_dim=24, max_items=5, dropout=0.0,
    low_pass_share=0.7, low_pass_frequencies=2,
)  # fmt: skip


def slow_filter(row: np.ndarray, window: int, frequencies: int, beta: np.ndarray) -> np.ndarray:
    """Filter each position as the last one of a window that zeros fill, by the transform itself."""
    found = np.empty_like(row)
    for t in range(len(row)):
        padded = np.concatenate([np.zeros((window, row.shape[1])), row[: t + 1]])[-window:]
        waves = np.fft.rfft(padded, axis=0)
        waves[frequencies:] = 0
        slow = np.fft.irfft(waves, n=window, axis=0)[-1]
        found[t] = slow + beta**2 * (row[t] - slow)
    return found


@settings(max_examples=30)
@given(
    window=st.integers(1, 9),
    length=st.integers(1, 12),
    frequencies=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_equals_the_transform(window: int, length: int, frequencies: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    segments = np.sort(rng.integers(0, 3, length))
    rows = rng.normal(size=(1, length, 4)).astype(np.float32)
    module = FrequencyFilter(window, frequencies, 4, rngs=nnx.Rngs(seed))
    found = module(jnp.asarray(rows), causal_mask(jnp.asarray(segments)[None]))[0]
    beta = np.asarray(module.root_beta[...])
    for segment in range(3):
        own = segments == segment
        expected = slow_filter(rows[0, own], window, frequencies, beta)
        np.testing.assert_allclose(np.asarray(found)[own], expected, atol=1e-5)


def test_all_frequencies_are_the_identity() -> None:
    for window in (1, 4, 7):
        kernel = low_pass_kernel(window, window // 2 + 1)
        np.testing.assert_allclose(kernel, np.eye(window)[0], atol=1e-6)


def test_bsarec_reads_a_history_as_it_was_trained() -> None:
    model = build_model(CONFIG, 0)
    codes = np.arange(11)[:, None]
    items = np.array([[3, 9, 0, 7, 7, 1]])
    row = jnp.ones((1, 6), jnp.int32)
    (full,) = jax.jit(lambda m, i: m.logits(i[..., None], row, jnp.arange(6)[None]))(model, items)
    for length in (0, 2, 5):
        history = History.from_items(codes, [items[0, :length]], 5)
        found = model.prefill(history)[0][0, 0]
        np.testing.assert_allclose(found, full[0, length], atol=1e-5)
    plain = build_model(dataclasses.replace(CONFIG, low_pass_share=0.0), 0)
    assert plain.blocks[0].filter is None


def test_bad_input() -> None:
    for changes, says in (
        ({"low_pass_share": 1.5}, "low_pass_share: found 1.5, expected 0 to 1"),
        ({"low_pass_frequencies": 0}, "low_pass_frequencies: found 0, expected 1 to 4"),
        ({"low_pass_frequencies": 5}, "low_pass_frequencies: found 5, expected 1 to 4"),
    ):
        with pytest.raises(GenretError, match=says):
            dataclasses.replace(CONFIG, **changes)
