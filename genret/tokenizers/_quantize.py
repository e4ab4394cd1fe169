"""The bottleneck of RQ-VAE: residual codes, how gradients pass them, how codebooks follow."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from genret.config import AutoencoderConfig
from genret.typing import Array, Float, Int

_DECAY = 0.95
"""Of the moving means: a codebook forgets most of what is older than twenty steps."""
_DEAD = 0.1
"""A code whose moving share is below this part of an equal share is dead."""
_LEAST = 0.01
"""Least spread of a code, as a part of that of all."""
_BALANCING_ROUNDS = 3
"""Sinkhorn iterations a step; the biases are kept from step to step."""


class Books(NamedTuple):
    """What is known about the use of the codebooks.

    Attributes:
      counts: moving mean of the points of a step that chose each code, [L, V].
      totals: moving mean of the sum of those points, [L, V, K].
      spreads: root mean square of what each code leaves over, [L, V].
      bias: of the last level's codes, [V]: zeros without balancing.
    """

    counts: Float[Array, "L V"]
    totals: Float[Array, "L V K"]
    spreads: Float[Array, "L V"]
    bias: Float[Array, "V"]


class Codes(NamedTuple):
    """What a residual quantizer says about latent vectors.

    Attributes:
      codes: int32 [L, B].
      residuals: what each level saw, in units of the spreads before it, [L, B, K].
      gains: those units, [L, B].
      sums: what the codes stand for: the sum of gains times chosen values, [B, K].
    """

    codes: Int[Array, "L B"]
    residuals: Float[Array, "L B K"]
    gains: Float[Array, "L B"]
    sums: Float[Array, "B K"]


def quantize(
    z: Float[Array, "B K"],
    values: Float[Array, "L V K"],
    spreads: Float[Array, "L V"],
    bias: Float[Array, "V"],
) -> Codes:
    """Choose the nearest code of each level for what the levels before leave.

    What code c leaves over is divided by its spread: z ≈ c_1 + s_1 (c_2 + s_2 (c_3 + …)). On the
    last level code c is nearer by ``bias[c]``, in halves of squared distances.
    """
    codes, residuals, gains = [], [], []
    residual, gain = z, jnp.ones((len(z), 1), z.dtype)
    sums = jnp.zeros_like(z)
    for level in range(len(values)):
        book = values[level]
        scores = jnp.matmul(residual, book.T, precision=jax.lax.Precision.HIGHEST)
        scores -= 0.5 * jnp.sum(book * book, axis=1)[None, :]
        if level == len(values) - 1:
            scores += bias[None, :]
        code = jnp.argmax(scores, axis=1).astype(jnp.int32)
        codes.append(code)
        residuals.append(residual)
        gains.append(gain[:, 0])
        sums += gain * book[code]
        spread = spreads[level][code][:, None]
        residual = (residual - book[code]) / spread
        gain = gain * spread
    return Codes(jnp.stack(codes), jnp.stack(residuals), jnp.stack(gains), sums)


def pass_gradients(
    z: Float[Array, "B K"],
    q: Float[Array, "B K"],
    how: Literal["straight_through", "rotation"],
) -> Float[Array, "B K"]:
    r"""Return q, through which gradients reach z as if q were a linear map of z.

    ``straight_through``: the identity, ∂q/∂z = I. ``rotation``: the rotation R that turns z to q,
    times ‖q‖/‖z‖, both held constant, so that a gradient's angle to q becomes its angle to z:

        q = (‖q‖/‖z‖) (z − 2 r (rᵀz) + 2 q̂ (ẑᵀz)),  r = (ẑ + q̂) / ‖ẑ + q̂‖.

    Source: Bengio et al., 2013 (straight-through); Fifty et al., "Restructuring vector quantization
      with the rotation trick", 2024.

    >>> z, q = jnp.array([[3.0, 4.0]]), jnp.array([[0.0, 10.0]])
    >>> pull = jax.grad(lambda z: pass_gradients(z, q, "rotation")[0, 1])(z)
    >>> [round(float(x), 6) for x in pull[0]]  # along q becomes along z, twice as long
    [1.2, 1.6]
    """
    constant = jax.lax.stop_gradient
    if how == "straight_through":
        return z + constant(q - z)

    def unit(x: Array) -> Array:
        return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis=1, keepdims=True), 1e-12))

    a, b = constant(unit(z)), constant(unit(q))
    r = unit(a + b)
    stretch = constant(jnp.linalg.norm(q, axis=1) / jnp.maximum(jnp.linalg.norm(z, axis=1), 1e-6))

    def along(direction: Array) -> Array:
        return jnp.sum(z * direction, axis=1, keepdims=True)

    turned = stretch[:, None] * (z - 2 * along(r) * r + 2 * along(a) * b)
    # Exactly q: where z or z + q is nearly zero the formula above is not.
    return turned + constant(q - turned)


def follow(
    books: Books,
    found: Codes,
    values: Float[Array, "L V K"],
    config: AutoencoderConfig,
    key: Array,
    *,
    normalize: bool = False,
) -> tuple[Float[Array, "L V K"], Books]:
    """Move codebooks after a step: moving means, dead codes to points of the step, biases.

    Args:
      books: as they were when the codes were chosen.
      found: the codes of the step.
      values: the codebooks after the step's gradients; with codebooks="ema" the means replace them.
      config: the rules.
      key: of the points that dead codes move to.
      normalize: let the spreads follow; otherwise they stay as they are.

    Returns:
      The codebooks and the books for the next step.
    """
    size, batch = values.shape[1], found.codes.shape[1]
    member = jax.nn.one_hot(found.codes, size, dtype=jnp.float32)  # [L, B, V]
    counts = _DECAY * books.counts + (1 - _DECAY) * member.sum(axis=1)
    sums = jnp.einsum("lbv,lbk->lvk", member, found.residuals)
    totals = _DECAY * books.totals + (1 - _DECAY) * sums
    if config.codebooks == "ema":
        seen = counts > 1e-6
        values = jnp.where(seen[..., None], totals / jnp.maximum(counts, 1e-6)[..., None], values)
    equal = batch / size
    dead = counts < _DEAD * equal
    rows = jax.random.randint(key, dead.shape, 0, batch)
    fresh = jnp.take_along_axis(found.residuals, rows[..., None], axis=1)
    values = jnp.where(dead[..., None], fresh, values)
    counts = jnp.where(dead, equal, counts)
    totals = jnp.where(dead[..., None], equal * fresh, totals)
    spreads = _spread(books, found, values, member) if normalize else books.spreads
    bias = books.bias
    if config.sinkhorn:
        bias = _rebalance(found.residuals[-1], values[-1], bias, config.sinkhorn)
    return values, Books(counts, totals, spreads, jnp.where(dead[-1], 0.0, bias))


def _spread(
    books: Books, found: Codes, values: Float[Array, "L V K"], member: Float[Array, "L B V"]
) -> Float[Array, "L V"]:
    """Move the spreads towards those of a step; a code that nobody chose keeps its own."""
    chosen = jnp.take_along_axis(values, found.codes[..., None], axis=1)
    squares = jnp.sum((found.residuals - chosen) ** 2, axis=2)  # [L, B]
    counts = member.sum(axis=1)
    now = jnp.einsum("lbv,lb->lv", member, squares) / jnp.maximum(counts, 1)
    overall = squares.mean(axis=1, keepdims=True)
    old = books.spreads**2
    moved = _DECAY * old + (1 - _DECAY) * now
    moved = jnp.where(counts > 0, moved, old)
    # A code that leaves nothing over says nothing about other items: it gets the spread of all.
    return jnp.sqrt(jnp.where(moved > _LEAST**2 * overall, moved, overall) + 1e-12)


def _rebalance(
    points: Float[Array, "B K"], book: Float[Array, "V K"], bias: Float[Array, "V"], entropy: float
) -> Float[Array, "V"]:
    """Take a few Sinkhorn iterations towards equal shares of a level's codes."""
    costs = 0.5 * jnp.sum(book * book, axis=1)[None, :] - points @ book.T
    least = jnp.min(costs, axis=1) + 0.5 * jnp.sum(points * points, axis=1)
    unit = entropy * jnp.maximum(jnp.mean(least), 1e-9)
    for _ in range(_BALANCING_ROUNDS):
        share = jax.nn.softmax((bias[None, :] - costs) / unit, axis=1).mean(axis=0)
        bias = bias - unit * jnp.log(jnp.maximum(share * len(book), 1e-3))
    return bias - bias.mean()


def commitment(z: Float[Array, "B K"], found: Codes) -> Float[Array, ""]:
    """Return the mean over points of Σ_l ‖z − the sum of the first l codes‖², the sums constant."""
    # What level l saw, in the units of z, is z minus the sum of the levels before.
    seen = jax.lax.stop_gradient(found.gains[..., None] * found.residuals)
    constant = jnp.concatenate([jax.lax.stop_gradient(z)[None] - seen, found.sums[None]])[1:]
    return jnp.mean(jnp.sum((z[None] - constant) ** 2, axis=(0, 2)))
