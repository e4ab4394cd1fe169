"""What all methods have in common: the state of a beam search, a step, and the choice of the best."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np
from genret_kernels.top_m import top_m

from genret.errors import GenretError
from genret.typing import Array, Codes, Float, Int


class Unsupported(GenretError):
    """A method that cannot be used at a size: too large, or a library is absent."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Beams:
    """The beams of a batch; one a request at the root, later M, best first.

    Attributes:
      scores: float32 [B, M], sums of log-probabilities; -inf: no beam.
      codes: int32 [B, M, level], the codes so far.
      parents: int32 [B, M], the beam of the level above that each extends.
      place: where the beams stand, in the method's own terms.
    """

    scores: Any
    codes: Any
    parents: Any
    place: Any

    @property
    def level(self) -> int:
        """Codes chosen so far."""
        return self.codes.shape[-1]


class Method(Protocol):
    """A way to keep a beam search inside the catalog. An instance is a pytree: its index.

    Attributes:
      name: as tables say it.
      exact: whether it finds what brute force finds.
      on_host: whether a step asks the host.
    """

    name: ClassVar[str]
    exact: ClassVar[bool]
    on_host: ClassVar[bool]

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        """Build the index of sorted semantic IDs.

        Raises:
          Unsupported: it would not fit.
        """

    @property
    def bytes(self) -> int:
        """Bytes of the index, on the device and on the host."""

    def start(self, batch: int) -> Beams:
        """Return one beam a request, at the root."""

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        """Extend the beams by one code and keep the best ``width`` of each request.

        Args:
          logits: of the beams' next code; one row may stand for all beams.
          beams: the beams.
          width: M.
        """


class DeviceMethod:
    """What most methods have in common: an exact search whose index is the arrays of the instance."""

    exact: ClassVar[bool] = True
    on_host: ClassVar[bool] = False

    @property
    def bytes(self) -> int:
        """Bytes of the arrays."""
        return bytes_of(self)


def root(batch: int, place: Any) -> Beams:
    """Return one beam a request, at the root."""
    zeros = jnp.zeros((batch, 1), jnp.int32)
    scores = zeros.astype(jnp.float32)
    return Beams(
        scores=scores, codes=jnp.zeros((batch, 1, 0), jnp.int32), parents=zeros, place=place
    )


def log_probabilities(logits: Float[Array, "B m V"]) -> Float[Array, "B m V"]:
    """Normalize logits over all codes, in float32."""
    logits = logits.astype(jnp.float32)
    largest = logits.max(axis=-1, keepdims=True)
    return logits - (jnp.log(jnp.exp(logits - largest).sum(axis=-1, keepdims=True)) + largest)


def masked_step(
    logits: Float[Array, "B m V"], legal: Any, beams: Beams, width: int
) -> tuple[Beams, Int[Array, "B M"]]:
    """Choose among all codes of all beams, those that are not legal left out.

    Args:
      logits: of the beams' next code.
      legal: bool [B, M, V]; None: all are.
      beams: the beams.
      width: M.

    Returns:
      The beams without a place, and the number ``V * parent + code`` of each.
    """
    scores = beams.scores[..., None] + log_probabilities(logits)
    if legal is not None:
        scores = jnp.where(legal, scores, -jnp.inf)
    num_codes = scores.shape[-1]
    codes = jnp.broadcast_to(jnp.arange(num_codes, dtype=jnp.int32), scores.shape)
    return best_of(scores, codes, beams, width)


def best_of(
    scores: Float[Array, "B M K"], codes: Int[Array, "B M K"], beams: Beams, width: int
) -> tuple[Beams, Int[Array, "B M"]]:
    """Choose the best candidates of all beams of each request.

    By the same top-M as ours, which sorts few of the candidates: with ``jax.lax.top_k`` over all of
    them a search without a constraint would cost more than one with it, and every rival too much.

    Args:
      scores: of the candidates; -inf: none.
      codes: their codes, ascending in a beam, so that ties fall as everywhere.
      beams: the beams that they extend.
      width: M.

    Returns:
      The beams without a place, and the number ``K * parent + slot`` of each.
    """
    batch, parents, slots = scores.shape
    flat = scores.reshape(batch, -1)
    missing = width - flat.shape[1]
    if missing > 0:
        flat = jnp.pad(flat, ((0, 0), (0, missing)), constant_values=-jnp.inf)
    best, number = top_m(flat, width)
    number = jnp.minimum(number, parents * slots - 1)
    parent = number // slots
    code = jnp.take_along_axis(codes.reshape(batch, -1), number, axis=1, mode="clip")
    so_far = jnp.take_along_axis(beams.codes, parent[..., None], axis=1, mode="clip")
    chosen = Beams(
        scores=best,
        codes=jnp.concatenate([so_far, code[..., None]], axis=-1),
        parents=parent,
        place=None,
    )
    return chosen, number


def of_parents(values: Any, parents: Int[Array, "B M"]) -> Any:
    """Take the values [B, m] of the beams that were extended."""
    return jax.tree.map(lambda x: jnp.take_along_axis(x, parents, axis=1, mode="clip"), values)


def at(beams: Beams, place: Any) -> Beams:
    """Return the beams at a place."""
    return dataclasses.replace(beams, place=place)


def bytes_of(index: Any) -> int:
    """Add up the bytes of the arrays of a pytree."""
    return sum(x.nbytes for x in jax.tree.leaves(index))


def bits_of(mask: np.ndarray) -> np.ndarray:
    """Pack booleans [..., V] into words, uint32 [..., ceil(V / 32)]."""
    packed = np.packbits(mask, axis=-1, bitorder="little")
    words = -(-mask.shape[-1] // 32)
    padded = np.zeros((*mask.shape[:-1], 4 * words), np.uint8)
    padded[..., : packed.shape[-1]] = packed
    return padded.view(np.uint32)


def bits_to_mask(words: Any, num_codes: int) -> Any:
    """Undo :func:`bits_of` on the device."""
    bit = jnp.arange(32, dtype=jnp.uint32).reshape(*[1] * words.ndim, -1)
    shifted = words[..., None] >> bit
    mask = (shifted & 1).astype(bool)
    return mask.reshape(*words.shape[:-1], -1)[..., :num_codes]


def edges_of(codes: Codes) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Walk the trie of sorted semantic IDs, level by level.

    Returns:
      For each level the first row of each edge, its code, and the node that it leaves.
    """
    starts = np.zeros(len(codes), bool)
    starts[:1] = True
    node_of_row = np.zeros(len(codes), np.int32)
    found = []
    for column in codes.T:
        starts[1:] |= column[1:] != column[:-1]
        rows = np.flatnonzero(starts)
        found.append((rows, column[rows], node_of_row[rows]))
        node_of_row = np.cumsum(starts, dtype=np.int32) - 1
    return found
