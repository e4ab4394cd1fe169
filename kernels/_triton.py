"""What the GPU kernels share; they are written for Pallas' Triton backend."""

from ._dispatch import KernelError

try:
    from jax.experimental.pallas import triton
except ImportError as error:  # jax 0.11 announced its removal
    raise KernelError("pallas_gpu: this jax has no Triton backend of Pallas; use 'xla'") from error

LEAST = 16
"""Rows and columns that a product on the tensor cores needs at least."""

__all__ = ["LEAST", "triton"]
