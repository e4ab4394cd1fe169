"""Readouts to log-probabilities: the one place that knows what a readout is."""

import jax
import jax.numpy as jnp

from genret.decoding._protocol import Readout
from genret.errors import GenretError
from genret.typing import Array, Bool, Float, Int


def log_probs_of(readout: Readout, codes: Int[Array, "B M K"]) -> Float[Array, "B M K"]:
    """Return the log-probabilities of some codes, normalised over all codes of the level.

    Args:
      readout: logits [B, M, V].
      codes: int32, the codes to score, below V.

    Returns:
      float32, ``logits[codes] - logsumexp(logits)``; accumulated in float32 also where the logits
      are bfloat16.
    """
    logits = readout.astype(jnp.float32)
    normaliser = jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    chosen = jnp.take_along_axis(logits, codes, axis=-1, mode="clip")
    return chosen - normaliser


def check_readout(readout: Readout, level: int, num_codes: int) -> None:
    """Refuse a readout that does not fit the level of the index."""
    if readout.ndim != 3 or not jnp.issubdtype(readout.dtype, jnp.floating):
        raise GenretError(
            f"model: readout of level {level} is {readout.dtype} {readout.shape}, "
            "expected float logits [B, M, V]"
        )
    if readout.shape[-1] < num_codes:
        raise GenretError(
            f"model: readout of level {level} has {readout.shape[-1]} codes, "
            f"the index has {num_codes}"
        )


def has_nan(readout: Readout, alive: Bool[Array, "B M"]) -> Bool[Array, "B"]:
    """Say for which requests the readout of a living beam holds a NaN."""
    return (jnp.isnan(readout).any(axis=-1) & alive).any(axis=-1)
