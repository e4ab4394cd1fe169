"""What TPU kernels ask of logits that lie in VMEM: normalizers, and the logits of some codes."""

from typing import Any

import jax
import jax.numpy as jnp

from ._tpu import LANES, look_up
from ._tpu_select import iota

FEW_CODES = 2
"""Codes a beam up to which a comparison with every code is cheaper than a look-up."""


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
        largest = jnp.max(largest, axis=1, keepdims=True)
        shift = jnp.where(largest == -jnp.inf, 0.0, largest)
        across = jnp.broadcast_to(shift, (self.rows, LANES))
        total = jnp.zeros((self.rows, LANES), jnp.float32)
        for number in range(self.groups):
            total += jnp.exp(self.group(number) - across)
        return jnp.log(jnp.sum(total, axis=1, keepdims=True)) + shift

    def at(self, codes: jax.Array, width: int) -> jax.Array:
        """Return the logits of the codes in the first ``width`` lanes; anything in the others.

        Args:
          codes: int32 [R, 128].
          width: lanes that count.
        """
        shape = (self.rows, LANES)
        lane = iota(shape, 1)
        found = jnp.zeros(shape, jnp.float32)
        if width > FEW_CODES:
            for number in range(self.groups):
                own = look_up(self.group(number), codes)
                found = jnp.where(codes >> 7 == number, own, found)
            return found
        for slot in range(width):
            code = jnp.broadcast_to(codes[:, slot : slot + 1], shape)
            one = jnp.zeros(shape, jnp.float32)
            for number in range(self.groups):
                one = jnp.where(lane + number * LANES == code, self.group(number), one)
            total = jnp.broadcast_to(jnp.sum(one, axis=1, keepdims=True), shape)
            found = jnp.where(lane == slot, total, found)
        return found
