"""Readouts to log-probabilities: the one place that knows what a readout is."""

import dataclasses

import jax.numpy as jnp

from genret.errors import GenretError
from genret.index.levels import Children
from genret.pytree import register_pytree
from genret.typing import Array, Bool, Float, Int


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Projection:
    """A readout that is not multiplied out yet: logits are ``hidden @ table.T``.

    A search that normalizes over the legal children reads the rows of those children only, and
    never forms the logits of a level whose nodes have few.

    Attributes:
      hidden: floats [B, M, D].
      table: floats [V, D], the output embedding of the level's codes.
    """

    hidden: Float[Array, "B M D"]
    table: Float[Array, "V D"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the logits, [B, M, V]."""
        return (*self.hidden.shape[:-1], self.table.shape[0])

    @property
    def ndim(self) -> int:
        """Axes of the logits: 3."""
        return len(self.shape)

    @property
    def dtype(self) -> jnp.dtype:
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


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Scored:
    """The beams of a level and what the model says of their next code.

    Attributes:
      readout: the model's, of one beam or of all.
      normalizer: float32 [B, M or 1]: the logsumexp of the logits; None: scores are to be normalized
        over the children that are chosen from.
      base: float32 [B, M], scores of the beams.
    """

    readout: Readout
    normalizer: Float[Array, "B m"] | None
    base: Float[Array, "B M"]

    @classmethod
    def of(
        cls,
        readout: Readout,
        base: Float[Array, "B M"],
        ended: Bool[Array, "B M"] | None,
        normalize: str,
    ) -> "Scored":
        """Read a level's readout.

        Args:
          readout: the model's.
          base: scores of the beams, float32 [B, M].
          ended: bool [B, M], beams whose semantic ID has ended: nothing is asked of the model, so
            their only child has log-probability 0. None: no such beams.
          normalize: "level"; "catalog" and "legal" leave the normalizer to whoever knows the
            children.
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
    def logits(self) -> Float[Array, "B m V"]:
        """All logits, float32; of one beam or of all."""
        return logits_of(self.readout)

    def logits_of(self, children: Children) -> Float[Array, "B M K"]:
        """Return the logit of each slot for a child, float32; -inf: no child."""
        legal = children.legal
        if children.codes is None:
            logits = fitted(self.logits, legal.shape[-1])
        else:
            logits = self._logits_at(children.codes)
        return jnp.where(legal, logits, -jnp.inf)

    def _logits_at(self, codes: Int[Array, "B M K"]) -> Float[Array, "B M K"]:
        if isinstance(self.readout, Projection):
            rows = self.readout.table.at[codes].get(mode="clip")
            hidden = jnp.broadcast_to(self.readout.hidden, (*codes.shape[:2], rows.shape[-1]))
            return jnp.einsum("bmd,bmkd->bmk", hidden, rows, preferred_element_type=jnp.float32)
        logits = jnp.broadcast_to(self.readout, (*codes.shape[:2], self.readout.shape[-1]))
        return jnp.take_along_axis(logits, codes, axis=-1, mode="clip").astype(jnp.float32)

    def logits_of_beams(
        self, beams: Int[Array, "B C"], codes: Int[Array, "B C"]
    ) -> Float[Array, "B C"]:
        """Return the logit of one code of each of some beams, float32."""
        request = jnp.arange(beams.shape[0], dtype=jnp.int32)[:, None]
        beams = jnp.minimum(beams, self.readout.shape[1] - 1)  # one readout may stand for all
        if isinstance(self.readout, Projection):
            return jnp.einsum(
                "bcd,bcd->bc",
                self.readout.hidden.at[request, beams].get(mode="clip"),
                self.readout.table.at[codes].get(mode="clip"),
                preferred_element_type=jnp.float32,
            )
        return self.readout.at[request, beams, codes].get(mode="clip").astype(jnp.float32)

    def per_beam(self, values: Float[Array, "B m"]) -> Float[Array, "B M"]:
        """Return values of one beam or of all, for all."""
        return jnp.broadcast_to(values, self.base.shape)


def log_probs_to_scores(
    logits: Float[Array, "*shape"],
    base: Float[Array, "*#shape"],
    normalizer: Float[Array, "*#shape"],
) -> Float[Array, "*shape"]:
    """Return the scores of children: that of their beam plus the log-probability of their code."""
    scores = base + (logits - normalizer)
    return jnp.where(scores > -jnp.inf, scores, -jnp.inf)  # NaN cannot win a place


def logits_of(readout: Readout) -> Float[Array, "B M V"]:
    """Return the logits of a readout, float32."""
    if isinstance(readout, Projection):
        return readout.logits()
    return readout.astype(jnp.float32)


def fitted(logits: Float[Array, "B M V"], size: int) -> Float[Array, "B M size"]:
    """Cut or pad logits to ``size`` codes; what they are padded with is of no code."""
    if logits.shape[-1] >= size:
        return logits[..., :size]
    return jnp.pad(logits, ((0, 0), (0, 0), (0, size - logits.shape[-1])))


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
