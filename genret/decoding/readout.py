"""Readouts to what candidates are ranked by: log-probabilities, or draws of a stochastic beam search."""

import dataclasses

import jax
import jax.numpy as jnp

from genret.errors import GenretError
from genret.index.levels import Children
from genret.pytree import register_pytree, static_field
from genret.typing import Array, Bool, Float, Int, UInt


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


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Draw:
    """The randomness of a level of a stochastic beam search (Kool et al. 2019, arXiv 1903.06059).

    Each item gets its log-probability plus a Gumbel variable of its own; the M largest are a sample
    of M items without replacement. Variables of items need not be drawn: that of a node is the
    largest of the items below it, so a node with the key ``k`` and children of log-probabilities
    ``phi`` draws ``g = phi + Gumbel`` for them and conditions on ``max(g) = k``:

        key(child) = -log(exp(-k) - exp(-max(g)) + exp(-g)).

    Attributes:
      bits: uint32 [B, ...], a key of ``jax.random`` for each request at this level.
      parents: float32 [B, M], the keys of the beams.
      largest: float32 [B, M], ``max(g)`` of each beam; None: that of the children at hand.
      generator: of the keys.
    """

    bits: UInt[Array, "B ..."]
    parents: Float[Array, "B M"]
    largest: Float[Array, "B M"] | None
    generator: object = static_field()

    @classmethod
    def at_level(cls, keys: Array, level: int, parents: Float[Array, "B M"]) -> "Draw":
        """Return the randomness of a level; ``keys``: a key of each request."""
        return cls(
            bits=jax.random.key_data(_folded(keys, level)),
            parents=parents,
            largest=None,
            generator=jax.random.key_impl(keys),
        )

    def of_trie(self, number: int) -> "Draw":
        """Return the randomness of another trie: its children draw for themselves."""
        return dataclasses.replace(self, bits=jax.random.key_data(_folded(self._keys, number)))

    def noise(
        self, shape: tuple[int, ...], part: Int[Array, ""] | int = 0
    ) -> Float[Array, "B *shape"]:
        """Return Gumbel variables, a request's ``shape``; the same ones for the same part."""

        def own(key: Array) -> Array:
            return jax.random.gumbel(jax.random.fold_in(key, part), shape, jnp.float32)

        return jax.vmap(own)(self._keys)

    @staticmethod
    def condition(
        drawn: Float[Array, "*shape"],
        largest: Float[Array, "*#shape"],
        parent: Float[Array, "*#shape"],
    ) -> Float[Array, "*shape"]:
        """Return the keys of children.

        Args:
          drawn: ``phi + Gumbel`` of each child; -inf: no child.
          largest: the largest of those of its siblings and itself.
          parent: the key of its parent.
        """
        # As in the paper's appendix: stable where all are far from 0.
        gap = parent - drawn + jnp.log1p(-jnp.exp(jnp.minimum(drawn - largest, 0)))
        keys = parent - jnp.maximum(gap, 0) - jnp.log1p(jnp.exp(-jnp.abs(gap)))
        keys = jnp.where(drawn == largest, parent, keys)
        return jnp.where(drawn > -jnp.inf, keys, -jnp.inf)

    @property
    def _keys(self) -> Array:
        return jax.random.wrap_key_data(self.bits, impl=self.generator)


def _folded(keys: Array, number: int) -> Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
