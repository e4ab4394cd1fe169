"""Codes that get about as many items each: optimal transport between items and codes."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from genret.tokenizers._kmeans import ROWS, assign, sums
from genret.typing import Array, Float

_ENTROPY = 0.02
"""Of the last rounds, in units of the median half squared distance: small, so that the nearest code
after the bias is nearly the code of the plan."""
_FIRST_ENTROPY = 0.5
"""Of the first rounds: large steps towards balance."""
_ROUNDS = 60
_MOVES = 4
"""Times that centroids move to the means of what the plan gives them."""


@partial(jax.jit, static_argnums=4)
def potentials(
    points: Float[Array, "N D"],
    weights: Float[Array, "N"],
    centroids: Float[Array, "V D"],
    start: Float[Array, "V"],
    rounds: int,
    first: ArrayLike = _FIRST_ENTROPY,
    last: ArrayLike = _ENTROPY,
) -> Float[Array, "V"]:
    r"""Return the bias of each code under which every code gets an equal share of the points.

    Sinkhorn's iterations for the transport from points to codes with costs C = ½‖x − c‖², equal
    shares and entropy ε, in logarithms: with :math:`P_{ic} = softmax_c((b_c - C_{ic}) / ε)`,

        b_c ← b_c + ε (log 1/V − log mean_i P_ic).

    ε falls in the first half of the rounds. The bias is the code's dual variable: new points are given codes by it too.

    Args:
      points: float32 [N, D], N a multiple of the rows of a block.
      weights: 1, or 0 for padding.
      centroids: codes.
      start: bias to start from.
      rounds: iterations.
      first: entropy at the start, in units of the mean half squared distance to the nearest code.
      last: entropy at the end, in units of the median.

    Returns:
      float32 [V], with mean 0.

    Source: Cuturi, "Sinkhorn distances", 2013; Peyré, Cuturi, "Computational optimal transport",
      2019, §4.4 (log domain), §5.1 (semi-discrete: Laguerre cells).
    """
    half_norms = 0.5 * jnp.sum(centroids * centroids, axis=1)
    _, squares = assign(points, centroids)
    total = jnp.maximum(weights.sum(), 1)
    mean = 0.5 * jnp.sum(squares * weights) / total
    # The median: where most points lie close together a few distant ones make the mean.
    median = 0.5 * jnp.nanmedian(jnp.where(weights > 0, squares, jnp.nan))
    least = jnp.maximum(jnp.asarray(last) * jnp.maximum(median, 1e-4 * mean), 1e-12)
    most = jnp.maximum(jnp.asarray(first) * mean, least)
    blocks = (points.reshape(-1, ROWS, points.shape[1]), weights.reshape(-1, ROWS))

    def iterate(i: Array, bias: Array) -> Array:
        falls = jnp.minimum(1.0, i / max(1, rounds // 2))
        entropy = most * (least / most) ** falls

        def block(carry: Array, rows: tuple[Array, Array]) -> tuple[Array, None]:
            x, w = rows
            scores = (bias - half_norms)[None, :] + x @ centroids.T
            share = jax.nn.softmax(scores / entropy, axis=1)
            return carry + w @ share, None

        share = jax.lax.scan(block, jnp.zeros_like(bias), blocks)[0] / total
        bias = bias - entropy * jnp.log(jnp.maximum(share * len(centroids), 1e-6))
        return bias - bias.mean()

    return jax.lax.fori_loop(0, rounds, iterate, start)


def balance(
    points: Float[Array, "N D"], weights: Float[Array, "N"], centroids: Float[Array, "V D"]
) -> tuple[Float[Array, "V D"], Float[Array, "V"]]:
    """Move centroids so that codes of equal shares lie close to their points.

    Args:
      points: padded points.
      weights: 1, or 0 for padding.
      centroids: where to start, float32 [V, D].

    Returns:
      The centroids and the bias of each.
    """
    bias = jnp.zeros(len(centroids), jnp.float32)
    for _ in range(_MOVES):
        bias = potentials(points, weights, centroids, bias, _ROUNDS // 2)
        labels, _ = assign(points, centroids, bias)
        totals, counts = sums(points, weights, labels, len(centroids))
        means = totals / jnp.maximum(counts, 1)[:, None]
        centroids = jnp.where((counts > 0)[:, None], means, centroids)
    return centroids, potentials(points, weights, centroids, bias, _ROUNDS)
