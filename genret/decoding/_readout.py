"""Readouts to log-probabilities: the one place that knows what a readout is."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from genret.errors import GenretError
from genret.typing import Array, Bool, Float, Int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Projection:
    """A readout that is not multiplied out yet: logits are ``hidden @ table.T``.

    A search that normalizes over the legal children reads the rows of those children only, and
    never forms the logits of a level whose nodes have few.

    Attributes:
      hidden: floats [B, M, D].
      table: floats [V, D], the output embedding of the level's codes.
    """

    hidden: Any
    table: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the logits, [B, M, V]."""
        return (*self.hidden.shape[:-1], self.table.shape[0])

    @property
    def ndim(self) -> int:
        """Axes of the logits: 3."""
        return len(self.shape)

    @property
    def dtype(self) -> Any:
        """Type of the hidden states."""
        return self.hidden.dtype

    def logits(self) -> Float[Array, "B M V"]:
        """Return all logits, float32."""
        return jnp.einsum(
            "bmd,vd->bmv", self.hidden, self.table, preferred_element_type=jnp.float32
        )


Readout = Array | Projection
"""What a model gives for one level: logits [B, M, V] of any float type, or a projection to them.

One beam, [B, 1, V], stands for all of them.
"""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Scored:
    """The beams of a level and what the model says of their next code.

    Attributes:
      readout: the model's, of one beam or of all.
      normalizer: float32 [B, M or 1]: the logsumexp of the logits; None: scores are to be normalized
        over the children that are chosen from.
      base: float32 [B, M], scores of the beams.
    """

    # JAX puts other things than arrays into a pytree's leaves now and then, hence Any.
    readout: Any
    normalizer: Any
    base: Any

    @classmethod
    def of(cls, readout: Readout, base: Array, ended: Array | None, normalize: str) -> "Scored":
        """Read a level's readout.

        Args:
          readout: the model's.
          base: scores of the beams, float32 [B, M].
          ended: bool [B, M], beams whose semantic ID has ended: nothing is asked of the model, so
            their only child has log-probability 0. None: no such beams.
          normalize: "level"; "catalog" and "legal" leave the normalizer to whoever knows the children.
        """
        if ended is not None:
            readout = jnp.where(ended[..., None], 0, logits_of(readout))
        if normalize != "level":
            return cls(readout=readout, normalizer=None, base=base)
        normalizer = logsumexp(logits_of(readout))
        if ended is not None:
            normalizer = jnp.where(ended, 0, normalizer)
        # A projection has been multiplied out: its logits are at hand from here on.
        return cls(readout=logits_of(readout), normalizer=normalizer, base=base)

    @property
    def logits(self) -> Float[Array, "B M V"]:
        """All logits, float32; of one beam or of all."""
        return logits_of(self.readout)

    def logits_at(self, codes: Int[Array, "B M K"]) -> Float[Array, "B M K"]:
        """Return the logits of some codes of each beam, float32."""
        if isinstance(self.readout, Projection):
            rows = self.readout.table.at[codes].get(mode="clip")
            hidden = jnp.broadcast_to(self.readout.hidden, (*codes.shape[:2], rows.shape[-1]))
            return jnp.einsum("bmd,bmkd->bmk", hidden, rows, preferred_element_type=jnp.float32)
        logits = jnp.broadcast_to(self.readout, (*codes.shape[:2], self.readout.shape[-1]))
        return jnp.take_along_axis(logits, codes, axis=-1, mode="clip").astype(jnp.float32)

    def per_beam(self, values: Array) -> Float[Array, "B M"]:
        """Return values of one beam or of all, for all."""
        return jnp.broadcast_to(values, self.base.shape)


def logits_of(readout: Readout) -> Float[Array, "B M V"]:
    """Return the logits of a readout, float32."""
    if isinstance(readout, Projection):
        return readout.logits()
    return readout.astype(jnp.float32)


def logsumexp(logits: Float[Array, "B M V"]) -> Float[Array, "B M"]:
    """Return log(sum(exp)) over the codes; NaN where the logits hold NaN or +inf.

    Two passes and no copy; ``jax.nn.logsumexp`` has further ones for its derivative.
    """
    largest = logits.max(axis=-1)
    shift = jnp.where(largest == -jnp.inf, 0, largest)
    return jnp.log(jnp.exp(logits - shift[..., None]).sum(axis=-1)) + shift


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
    return (jnp.isnan(logits_of(readout)).any(axis=-1) & alive).any(axis=-1)
