"""Layers of the Llama/Qwen family, parameter for parameter: projections, norms, MLP, positions.

Parameters are float32; a layer computes in the type of its input. Kernels are stored ``[in, out]``
(the transpose of a checkpoint's ``weight``), nothing is fused, so that checkpoints map one to one.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genret.typing import Array, Float, Int

R = TypeVar("R")

_initializer = jax.nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")


class Linear(nnx.Module):
    """``x W + b``; the kernel starts as a truncated normal with variance ``scale² / fan_in``."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bias: bool = False,
        scale: float = 1.0,
        rngs: nnx.Rngs,
    ) -> None:
        self.kernel = nnx.Param(scale * _drawn(_initializer, rngs, (inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros((outputs,), jnp.float32)) if bias else None

    def __call__(self, x: Float[Array, "*batch I"]) -> Float[Array, "*batch O"]:
        """Project the last axis."""
        y = x @ self.kernel[...].astype(x.dtype)
        return y if self.bias is None else y + along_last(self.bias[...], y)


class RMSNorm(nnx.Module):
    r"""``x / sqrt(mean(x²) + eps) · scale``, in float32.

    Source: Zhang and Sennrich, Root Mean Square Layer Normalization, 2019.
    """

    def __init__(self, width: int, eps: float) -> None:
        self.scale = nnx.Param(jnp.ones((width,), jnp.float32))
        self.eps = eps

    def __call__(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Normalize the last axis."""
        y = x.astype(jnp.float32)
        y = y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + self.eps)
        return (y * along_last(self.scale[...], y)).astype(x.dtype)


class GatedMLP(nnx.Module):
    """SwiGLU: ``(silu(x W_gate) · x W_up) W_down``.

    Source: Shazeer, GLU Variants Improve Transformer, 2020.
    """

    def __init__(
        self, width: int, hidden: int, *, output_scale: float = 1.0, rngs: nnx.Rngs
    ) -> None:
        self.gate_proj = Linear(width, hidden, rngs=rngs)
        self.up_proj = Linear(width, hidden, rngs=rngs)
        self.down_proj = Linear(hidden, width, scale=output_scale, rngs=rngs)

    def __call__(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Apply the MLP to the last axis."""
        return self.down_proj(jax.nn.silu(self.gate_proj(x)) * self.up_proj(x))


class Embedding(nnx.Module):
    """A table of vectors that is read by row, and against which hidden states are scored.

    Rows start with standard deviation ``1 / sqrt(width)``: scores of a normalized hidden state
    then have unit variance.
    """

    def __init__(self, rows: int, width: int, *, rngs: nnx.Rngs) -> None:
        start = jax.nn.initializers.truncated_normal(width**-0.5)
        self.table = nnx.Param(_drawn(start, rngs, (rows, width)))

    def __call__(self, rows: Int[Array, "*batch"], dtype: jnp.dtype) -> Float[Array, "*batch D"]:
        """Return the rows; numbers out of range (padding) read some row and never fail."""
        return self.table[...].at[rows].get(mode="clip").astype(dtype)


def narrow_matrices(model: nnx.Module, dtype: str) -> None:
    """Hold the kernels and the embeddings of a model in the type that they are computed in.

    Vectors (norms, biases) stay float32: they are small, and norms are computed in it.
    """
    for _, module in nnx.iter_modules(model):
        # An assignment to [...] would keep the type.
        if isinstance(module, Linear):
            module.kernel.set_value(module.kernel[...].astype(dtype))
        elif isinstance(module, Embedding):
            module.table.set_value(module.table[...].astype(dtype))


def readout(
    hidden: Float[Array, "*batch D"], table: Float[Array, "V D"]
) -> Float[Array, "*batch V"]:
    """Return the float32 scores of hidden states against the rows of a table."""
    scores = jax.lax.dot_general(
        hidden,
        table.astype(hidden.dtype),
        (((hidden.ndim - 1,), (1,)), ((), ())),
        preferred_element_type=jnp.float32,
    )
    return scores.astype(jnp.float32)


Positions = Int[Array, "#B T"] | Int[np.ndarray, "#B T"]
"""Positions of the slots of a row; NumPy's where they are known when a program is traced."""

_MOST_CONSTANT = 1 << 13
"""Positions whose angles may be constants of a program."""

Rotary = tuple[Float[Array, "#B T R"], Float[Array, "#B T R"]]
"""Cosines and sines of the rotation angles of each position, R = head width / 2."""


def rotary_angles(
    positions: Positions, head_dim: int, theta: float, scaling: tuple[float, ...] = ()
) -> Rotary:
    r"""Return cosines and sines of the angles ``p · f_i``, ``f_i = theta^(-2i / head_dim)``.

    Args:
      positions: int [B, T]. Those that are known to NumPy become constants of the program: XLA
        computes sines anew in each of the fusions that rotate something.
      head_dim: width of a head, even.
      theta: base.
      scaling: (): none. (factor,): every frequency is divided by it. (factor, low, high, length):
        a frequency that turns fewer than ``low`` times over ``length`` positions is divided by the
        factor, one that turns more than ``high`` times is kept, and those between are mixed.

    Returns:
      Two float32 arrays [B, T, head_dim / 2].

    Sources: Chen et al., Positional Interpolation, 2023 (one number); Grattafiori et al., The Llama 3
    Herd of Models, 2024, as in its 3.1 release (four numbers).
    """
    frequencies = theta ** (-np.arange(0, head_dim, 2, dtype=np.float32) / head_dim)
    if len(scaling) == 1:
        frequencies = frequencies / scaling[0]
    elif scaling:
        factor, low, high, length = scaling
        turns = length * frequencies / (2 * np.pi)
        kept = np.clip((turns - low) / (high - low), 0, 1)
        frequencies = frequencies * (kept + (1 - kept) / factor)
    frequencies = frequencies.astype(np.float32)
    known = isinstance(positions, np.ndarray) and positions.size <= _MOST_CONSTANT
    xp = np if known else jnp
    angles = xp.asarray(positions, np.float32)[:, :, None] * frequencies[None, None, :]
    return jnp.asarray(xp.cos(angles)), jnp.asarray(xp.sin(angles))


def rotate(x: Float[Array, "B T H D"], rotary: Rotary) -> Float[Array, "B T H D"]:
    """Rotate the pairs (i, i + D/2) of each head by the angles of its position.

    This is the half layout of Hugging Face's Llama and Qwen, not the interleaved one.
    Source: Su et al., RoFormer, 2021.
    """
    cos, sin = (part[:, :, None, None, :].astype(x.dtype) for part in rotary)
    # Read backwards rather than concatenated: XLA's loop over the halves then has no branch.
    halves = x.reshape(*x.shape[:-1], 2, x.shape[-1] // 2)
    signs = jnp.array([-1, 1], x.dtype).reshape(1, 1, 1, 2, 1)
    return (halves * cos + halves[..., ::-1, :] * (sin * signs)).reshape(x.shape)


def dropout(x: Float[Array, "*shape"], rate: float, key: Array | None) -> Float[Array, "*shape"]:
    """Zero elements with probability ``rate`` (rounded to 1/256) and scale up the others.

    One random byte decides on an element: random bits are what dropout costs on a CPU.

    Args:
      x: the activations.
      rate: probability of zero.
      key: a JAX key; None returns ``x``.

    Returns:
      The activations, with the same mean.
    """
    dropped = round(rate * 256)
    if key is None or dropped == 0:
        return x
    words = jax.random.bits(key, (*x.shape[:-1], -(-x.shape[-1] // 4)), jnp.uint32)
    random_bytes = jax.lax.bitcast_convert_type(words, jnp.uint8)
    random_bytes = random_bytes.reshape(*x.shape[:-1], -1)[..., : x.shape[-1]]
    scale = jnp.asarray(256 / (256 - dropped), x.dtype)
    return jnp.where(random_bytes >= dropped, x * scale, jnp.zeros_like(x))


_shapes_alone = contextvars.ContextVar("shapes_alone", default=False)


@contextlib.contextmanager
def shapes_alone() -> Iterator[None]:
    """In the block, layers are made with zeros: for models whose parameters come from elsewhere.

    Drawing parameters takes long to trace, also where nothing is computed.
    """
    token = _shapes_alone.set(True)
    try:
        yield
    finally:
        _shapes_alone.reset(token)


def _drawn(
    initialize: Callable[..., Array], rngs: nnx.Rngs, shape: tuple[int, ...]
) -> Float[Array, "I O"]:
    """Return initial parameters."""
    if _shapes_alone.get():
        return jnp.zeros(shape, jnp.float32)
    return initialize(rngs.params(), shape, jnp.float32)


_rematerializing = contextvars.ContextVar("rematerializing", default=False)


@contextlib.contextmanager
def rematerializing(wanted: bool = True) -> Iterator[None]:
    """While a model is traced in the block, its blocks keep their inputs alone for the gradient.

    What is inside a block is computed again in the backward pass.
    """
    token = _rematerializing.set(wanted)
    try:
        yield
    finally:
        _rematerializing.reset(token)


def as_block(function: Callable[..., R]) -> Callable[..., R]:
    """Return a block as it is trained: as it is, or rematerialized (:func:`rematerializing`)."""
    return jax.checkpoint(function) if _rematerializing.get() else function


def split_key(key: Array | None, count: int) -> list[Array | None]:
    """Return ``count`` keys, or as many None."""
    return [None] * count if key is None else list(jax.random.split(key, count))


def along_last(vector: Float[Array, " D"], x: Float[Array, "*batch D"]) -> Array:
    """Return a vector with leading axes of 1 like those of ``x``, in its type."""
    return vector.astype(x.dtype).reshape((1,) * (x.ndim - 1) + vector.shape)
