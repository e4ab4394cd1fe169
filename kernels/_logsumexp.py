"""The normalizer of the references: one pass over the logits."""

import jax
import jax.numpy as jnp


def logsumexp(logits: jax.Array) -> jax.Array:
    """Return the logarithm of the sum of the exponentials along the last axis.

    The maximum and the sum relative to it are taken together, so that a GPU reads the logits once,
    in one kernel. The last bit may differ from that of two passes.

    Args:
      logits: float32 [..., V].

    Returns:
      float32 [...]; -inf where all are -inf, NaN where there is NaN or +inf.

    >>> logsumexp(jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.0, 0.0, 0.0]]))).tolist()
    [0.0, -inf]
    """

    def merged(one: tuple[jax.Array, ...], other: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        largest = jnp.maximum(one[0], other[0])
        shift = jnp.where(largest == -jnp.inf, 0.0, largest)
        return largest, one[1] * jnp.exp(one[0] - shift) + other[1] * jnp.exp(other[0] - shift)

    nothing = jnp.float32(-jnp.inf), jnp.float32(0)
    parts = logits, jnp.ones_like(logits)
    largest, total = jax.lax.reduce(parts, nothing, merged, (logits.ndim - 1,))
    return jnp.log(total) + jnp.where(largest == -jnp.inf, 0.0, largest)
