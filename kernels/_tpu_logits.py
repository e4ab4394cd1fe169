"""What TPU kernels ask of logits that lie in VMEM: normalizers, and the logits of some codes."""

from typing import Any

import jax
import jax.numpy as jnp

from ._tpu import LANES, look_up
from ._tpu_select import iota

MOST_COMPARED = 8
"""Codes a beam up to which a comparison with every code is cheaper than a look-up in each group, where
there are as many groups."""


class Logits:
    """The logits of the beams of one request: a block of a reference.

    Args:
      ref: float [n, M filled up or 1, V filled up].
      request: which of the n.
      rows: R, beams; what is read of further ones is never used.
      num_codes: V; what lies behind may be anything.
    """

    def __init__(self, ref: Any, request: int, rows: int, num_codes: int) -> None:
        self.ref, self.request, self.rows, self.num_codes = ref, request, rows, num_codes
        self.shared = ref.shape[1] == 1
        self.groups = -(-num_codes // LANES)

    def group(self, number: int) -> jax.Array:
        """Return 128 logits of each beam, float32 [R, 128]; -inf behind the last code."""
        span = slice(number * LANES, (number + 1) * LANES)
        found = self.ref[self.request, :, span].astype(jnp.float32)
        left = self.num_codes - number * LANES
        if left < LANES:
            found = jnp.where(iota(found.shape, 1) < left, found, -jnp.inf)
        return jnp.broadcast_to(found, (self.rows, LANES)) if self.shared else found

    def normalizer(self) -> jax.Array:
        """Return the logsumexp over the codes, float32 [R, 1]; NaN where there is NaN or +inf."""
        largest = self.group(0)
        for number in range(1, self.groups):
            largest = jnp.maximum(largest, self.group(number))
        return self._logsumexp(largest)

    def normalizer_and_logits(self, codes: jax.Array, width: int) -> tuple[jax.Array, jax.Array]:
        """Return :meth:`normalizer`, and the logits of some codes, which the same pass picks up.

        Args:
          codes: int32 [R, 128].
          width: lanes that count.

        Returns:
          float32 [R, 1], and float32 [R, 128]: anything in the lanes from ``width`` on.
        """
        shape = (self.rows, LANES)
        lane = iota(shape, 1)
        compares = width <= max(2, min(MOST_COMPARED, self.groups))
        slots = range(width if compares else 0)
        ahead = [jnp.broadcast_to(codes[:, slot : slot + 1], shape) - lane for slot in slots]
        apart = [jnp.zeros(shape, jnp.float32) for _ in slots]
        largest, found = self.group(0), jnp.zeros(shape, jnp.float32)
        for number in range(self.groups):
            own = self.group(number)
            largest = jnp.maximum(largest, own)
            for slot in slots:
                apart[slot] = jnp.where(ahead[slot] == number * LANES, own, apart[slot])
            if not compares:
                found = jnp.where(codes >> 7 == number, look_up(own, codes), found)
        for slot, one in enumerate(apart):  # one lane of each row holds a logit
            total = jnp.broadcast_to(jnp.sum(one, axis=1, keepdims=True), shape)
            found = jnp.where(lane == slot, total, found) if slot else total
        return self._logsumexp(largest), found

    def _logsumexp(self, largest: jax.Array) -> jax.Array:
        """Return the logsumexp, given the largest logit of each beam in some of its lanes."""
        largest = jnp.max(largest, axis=1, keepdims=True)
        shift = jnp.where(largest == -jnp.inf, 0.0, largest)
        across = jnp.broadcast_to(shift, (self.rows, LANES))
        total = jnp.zeros((self.rows, LANES), jnp.float32)
        for number in range(self.groups):
            total += jnp.exp(self.group(number) - across)
        return jnp.log(jnp.sum(total, axis=1, keepdims=True)) + shift
