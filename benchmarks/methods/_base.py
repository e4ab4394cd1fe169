"""What all methods share: the state of a beam search, their base class, and the choice of the best."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from genret_kernels.top_m import top_m

from genret.errors import GenretError
from genret.pytree import register_pytree
from genret.testing import SortedCatalog
from genret.typing import Array, Codes, Float, Int, UInt


class Unsupported(GenretError):
    """A method that cannot be used at a size: it is too large, or a library is absent."""


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Beams:
    """The beams of a batch, best first: one for each request at the root, M below it."""

    scores: Float[Array, "B M"]  # sums of log-probabilities; -inf: no beam
    codes: Int[Array, "B M L"]  # the codes so far
    parents: Int[Array, "B M"]  # the beam of the level above that each extends
    place: Any  # where the beams stand, in the method's own terms

    @property
    def level(self) -> int:
        """Codes chosen so far."""
        return self.codes.shape[-1]

    def at(self, place: Any) -> "Beams":
        """Return the beams at a place."""
        return dataclasses.replace(self, place=place)


class Method:
    """A way to keep a beam search inside the catalog; an instance is a pytree, its index.

    One that can obey sets of allowed items and seen items has ``restrict(masks, filter_of, seen)``:
    request b is answered the items of ``masks[filter_of[b]]`` alone, and none of ``seen[b]``.
    """

    name: ClassVar[str]  # as tables say it
    exact: ClassVar[bool] = True  # it finds what brute force finds
    on_host: ClassVar[bool] = False  # a step asks the host
    of_items: ClassVar[bool] = False  # it answers items: those of one semantic ID are several

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        """Build the index of sorted semantic IDs; raise `Unsupported` where it would not fit."""
        raise NotImplementedError

    @property
    def bytes(self) -> int:
        """Bytes of the index, on the device and on the host."""
        return sum(x.nbytes for x in jax.tree.leaves(self))

    def to(self, platform: str) -> Self:
        """Return the same index for another platform."""
        return self

    def refresh(self, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        """Return an index of other codes, in no order."""
        return type(self).build(SortedCatalog.of(codes).codes, codes_per_level)

    def insert(self, base: Codes, late: Codes, codes_per_level: Sequence[int]) -> Self:
        """Return an index, which is of ``base``, with late items; it is built anew if need be."""
        return self.refresh(np.concatenate([base, late]), codes_per_level)

    def root(self, zeros: Int[Array, "B 1"]) -> Any:
        """Return the place of the root for each request, from an array of zeros."""
        return zeros

    def start(self, batch: int) -> Beams:
        """Return one beam for each request, at the root."""
        zeros = jnp.zeros((batch, 1), jnp.int32)
        scores, codes = zeros.astype(jnp.float32), jnp.zeros((batch, 1, 0), jnp.int32)
        return Beams(scores=scores, codes=codes, parents=zeros, place=self.root(zeros))

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        """Extend the beams by one code and keep the best ``width`` of each request.

        One row of logits may stand for all beams of a request.
        """
        raise NotImplementedError

    def search(self, model: Any, history: Any, levels: int, beams: int) -> Beams:
        """Search with any model, in one loop for all methods, so that only the step differs."""
        logits, cache = model.prefill(history)
        state = self.start(logits.shape[0])
        for level in range(levels):
            state = self.step(logits, state, beams)
            if level + 1 < levels:
                logits, cache = model.step(state.codes[..., -1], state.parents, cache)
        return state

    def run(self, model: Any, history: Any, levels: int, beams: int) -> Beams:
        """Search; what was compiled for another index may be used again."""
        return _search(self, model, history, levels, beams)

    def compiled(self, model: Any, history: Any, levels: int, beams: int) -> Callable[[], Any]:
        """Compile the search; return it."""
        program = _search.lower(self, model, history, levels, beams).compile()
        return lambda: program(self, model, history)


@functools.partial(jax.jit, static_argnums=(3, 4))
def _search(method: Method, model: Any, history: Any, levels: int, beams: int) -> Beams:
    return method.search(model, history, levels, beams)


def log_probabilities(logits: Float[Array, "B m V"]) -> Float[Array, "B m V"]:
    """Normalize logits over all codes, in float32."""
    logits = logits.astype(jnp.float32)
    largest = logits.max(axis=-1, keepdims=True)
    return logits - (jnp.log(jnp.exp(logits - largest).sum(axis=-1, keepdims=True)) + largest)


def masked_step(
    logits: Float[Array, "B m V"], legal: Any, beams: Beams, width: int
) -> tuple[Beams, Int[Array, "B M"]]:
    """Choose among the ``legal`` codes (bool [B, M, V]) of all beams; see :func:`best_of`."""
    scores = beams.scores[..., None] + log_probabilities(logits)
    if legal is not None:
        scores = jnp.where(legal, scores, -jnp.inf)
    codes = jnp.broadcast_to(jnp.arange(scores.shape[-1], dtype=jnp.int32), scores.shape)
    return best_of(scores, codes, beams, width)


def best_of(
    scores: Float[Array, "B M K"], codes: Int[Array, "B M K"], beams: Beams, width: int
) -> tuple[Beams, Int[Array, "B M"]]:
    """Choose the best candidates of all beams of each request.

    By the same top-M as ours, which sorts few of the candidates: with ``jax.lax.top_k`` over all of
    them a search without a constraint would cost more than one with it, and every rival too much.

    A score of -inf is no candidate; codes ascend in a beam, so that ties fall as everywhere. Returns the
    beams without a place, and the number ``K * parent + slot`` of each.
    """
    batch, parents, slots = scores.shape
    flat = scores.reshape(batch, -1)
    missing = max(0, width - flat.shape[1])
    flat = jnp.pad(flat, ((0, 0), (0, missing)), constant_values=-jnp.inf)
    best, number = top_m(flat, width)
    number = jnp.minimum(number, parents * slots - 1)
    parent = number // slots
    code = jnp.take_along_axis(codes.reshape(batch, -1), number, axis=1, mode="clip")
    so_far = jnp.take_along_axis(beams.codes, parent[..., None], axis=1, mode="clip")
    codes = jnp.concatenate([so_far, code[..., None]], axis=-1)
    return Beams(scores=best, codes=codes, parents=parent, place=None), number


def take(values: Any, number: Int[Array, "B M"]) -> Any:
    """Take values [B, ...] of the beams or candidates with these numbers."""
    flat = jax.tree.map(lambda x: x.reshape(x.shape[0], -1), values)
    return jax.tree.map(lambda x: jnp.take_along_axis(x, number, axis=1, mode="clip"), flat)


def bits_of(mask: np.ndarray) -> UInt[np.ndarray, "*lead W"]:
    """Pack booleans [..., V] into words."""
    packed = np.packbits(mask, axis=-1, bitorder="little")
    padded = np.zeros((*mask.shape[:-1], 4 * -(-mask.shape[-1] // 32)), np.uint8)
    padded[..., : packed.shape[-1]] = packed
    return padded.view(np.uint32)


def bits_to_mask(words: Any, num_codes: int) -> Any:
    """Undo :func:`bits_of` on the device."""
    bit = jnp.arange(32, dtype=jnp.uint32).reshape(*[1] * words.ndim, -1)
    mask = ((words[..., None] >> bit) & 1).astype(bool)
    return mask.reshape(*words.shape[:-1], -1)[..., :num_codes]


def edges_of(codes: Codes) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return for each level of the trie the first row of each edge, its code, and the node it leaves."""
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


def prefix_table(codes: Codes) -> dict[tuple[int, ...], list[int]]:
    """Return the codes that may follow each prefix of semantic IDs [N, L].

    >>> prefix_table(np.array([[1, 5], [1, 6], [2, 5]]))
    {(): [1, 2], (1,): [5, 6], (2,): [5]}
    """
    found: dict[tuple[int, ...], list[int]] = {}
    for length in range(1, codes.shape[1] + 1):
        for *prefix, code in np.unique(codes[:, :length], axis=0).tolist():
            found.setdefault(tuple(prefix), []).append(code)
    return found
