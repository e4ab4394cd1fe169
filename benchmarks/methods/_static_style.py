"""The algorithm of STATIC (arXiv 2602.22647), written anew from the paper.

The first two levels are tables over all codes. Below them lies a CSR matrix with explicit next
states; each beam reads as many edges as the widest node of the level has, and its best few children
compete (``tokens_per_beam``; with as many as beams the search is exact, as it is timed here).

One thing is better than published: the last choice among all beams' candidates is the top-M of every
method here, which sorts few of them, where STATIC's code calls ``lax.top_k`` over all. Its own code
is timed beside this by ``--static``.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.methods import _base as base
from benchmarks.methods._base import Beams, Method, Unsupported
from benchmarks.process import available_gib
from genret.pytree import register_pytree, static_field
from genret.typing import Array, Codes, Float, Int, UInt

DENSE_BYTES = 1 << 32
"""Most bytes of the table of the second level's states; less where memory is scarce."""


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class StaticStyle(Method):
    """Two dense levels, then CSR with explicit next states, padded to the widest node."""

    first: UInt[Array, "W"]  # bits of the first codes
    second: UInt[Array, "V W"]  # bits of the second codes below each
    states: Int[Array, "V V"]  # the node below each pair
    pointers: tuple[Int[Array, "P"], ...]  # for each later level, nodes + 1
    edges: tuple[Int[Array, "E 2"], ...]  # for each later level, code and next state
    widest: tuple[int, ...] = static_field()  # for each later level, most edges of a node

    name: ClassVar[str] = "static-style"

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        if len(codes_per_level) < 2:
            raise Unsupported(f"static-style: found {len(codes_per_level)} levels, expected 2")
        num_first, num_second = codes_per_level[:2]
        most = min(DENSE_BYTES, available_gib() * 2**30 / 5)  # on the host, on the device, and room
        if 4 * num_first * num_second > most:
            raise Unsupported(
                f"static-style: its table of pairs takes {4 * num_first * num_second} bytes, "
                f"expected at most {most:.0f}"
            )
        (_, one, _), (_, two, above), *below = base.edges_of(codes)
        first = np.zeros(num_first, bool)
        first[one] = True
        states = np.zeros((num_first, num_second), np.int32)
        second = np.zeros(states.shape, bool)
        second[one[above], two] = True
        states[one[above], two] = np.arange(len(two))
        num_nodes, pointers, edges, widest = len(two), [], [], []
        for _, own, node in below:
            counts = np.bincount(node, minlength=num_nodes)
            pointers.append(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
            edges.append(np.stack([own, np.arange(len(own))], axis=1).astype(np.int32))
            widest.append(int(counts.max(initial=1)))
            num_nodes = len(own)
        return cls(
            first=jnp.asarray(base.bits_of(first)), second=jnp.asarray(base.bits_of(second)),
            states=jnp.asarray(states), pointers=tuple(map(jnp.asarray, pointers)),
            edges=tuple(map(jnp.asarray, edges)), widest=tuple(widest),
        )  # fmt: skip

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        """Mask the first two levels; below them gather the edges of each beam."""
        num_codes = logits.shape[-1]
        if beams.level == 0:
            legal = base.bits_to_mask(self.first, num_codes)[None, None]
            chosen, _ = base.masked_step(logits, legal, beams, width)
            return chosen.at(chosen.codes[..., -1])
        if beams.level == 1:
            legal = base.bits_to_mask(self.second[beams.place], num_codes)
            chosen, _ = base.masked_step(logits, legal, beams, width)
            return chosen.at(self.states[chosen.codes[..., 0], chosen.codes[..., 1]])
        sparse = beams.level - 2
        slots = jnp.arange(self.widest[sparse], dtype=jnp.int32)[None, None]
        begin, end = (self.pointers[sparse][beams.place + i][..., None] for i in (0, 1))
        edges = self.edges[sparse].at[begin + slots].get(mode="clip")
        codes, states = edges[..., 0], edges[..., 1]
        legal = (begin + slots < end) & (beams.scores > -jnp.inf)[..., None]
        log_p = jnp.broadcast_to(base.log_probabilities(logits), (*codes.shape[:2], num_codes))
        found = jnp.take_along_axis(log_p, codes, axis=-1, mode="clip")
        scores = jnp.where(legal, beams.scores[..., None] + found, -jnp.inf)
        if self.widest[sparse] > width:  # its best few, in the order of their codes
            kept = jnp.sort(jax.lax.top_k(scores, width)[1], axis=-1)
            scores, codes, states = (
                jnp.take_along_axis(x, kept, axis=-1) for x in (scores, codes, states)
            )
        chosen, number = base.best_of(scores, codes, beams, width)
        return chosen.at(base.take(states, number))
