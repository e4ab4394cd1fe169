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
from functools import partial
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.methods._base import (
    Beams,
    DeviceMethod,
    Unsupported,
    at,
    best_of,
    bits_of,
    bits_to_mask,
    edges_of,
    log_probabilities,
    masked_step,
    of_parents,
    root,
)
from benchmarks.record import available_gib
from genret.typing import Array, Codes, Float

DENSE_BYTES = 1 << 32
"""Most bytes of the table of the second level's states; less where memory is scarce."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("first", "second", "states", "pointers", "edges"),
    meta_fields=("widest",),
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class StaticStyle(DeviceMethod):
    """Two dense levels, then CSR with explicit next states, padded to the widest node.

    Attributes:
      first: uint32 [V / 32], the first codes.
      second: uint32 [V, V / 32], the second codes below each.
      states: int32 [V, V], the node below each pair.
      pointers: for each later level, int32 [nodes + 1].
      edges: for each later level, int32 [edges, 2]: code and next state.
      widest: for each later level, most edges of a node.
    """

    first: Any
    second: Any
    states: Any
    pointers: tuple[Any, ...]
    edges: tuple[Any, ...]
    widest: tuple[int, ...]

    name: ClassVar[str] = "static-style"

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        """Build the tables and the matrix."""
        if len(codes_per_level) < 2:
            raise Unsupported(f"static-style: found {len(codes_per_level)} levels, expected 2")
        num_first, num_second = codes_per_level[:2]
        most = min(DENSE_BYTES, available_gib() * 2**30 / 5)  # on the host, on the device, and room
        if 4 * num_first * num_second > most:
            raise Unsupported(
                f"static-style: its table of pairs takes {4 * num_first * num_second} bytes, "
                f"expected at most {most:.0f}"
            )
        (_, one, _), (_, two, above), *below = edges_of(codes)
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
            first=jnp.asarray(bits_of(first)),
            second=jnp.asarray(bits_of(second)),
            states=jnp.asarray(states),
            pointers=tuple(map(jnp.asarray, pointers)),
            edges=tuple(map(jnp.asarray, edges)),
            widest=tuple(widest),
        )

    def start(self, batch: int) -> Beams:
        """Return one beam a request; a place is a state."""
        return root(batch, jnp.zeros((batch, 1), jnp.int32))

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        """Mask the first two levels; below them gather the edges of each beam."""
        num_codes = logits.shape[-1]
        if beams.level == 0:
            legal = bits_to_mask(self.first, num_codes)[None, None]
            chosen, _ = masked_step(logits, legal, beams, width)
            return at(chosen, chosen.codes[..., -1])
        if beams.level == 1:
            legal = bits_to_mask(self.second[beams.place], num_codes)
            chosen, _ = masked_step(logits, legal, beams, width)
            return at(chosen, self.states[chosen.codes[..., 0], chosen.codes[..., 1]])
        sparse = beams.level - 2
        slots = jnp.arange(self.widest[sparse], dtype=jnp.int32)[None, None]
        begin, end = (self.pointers[sparse][beams.place + i][..., None] for i in (0, 1))
        edges = self.edges[sparse].at[begin + slots].get(mode="clip")
        codes, states = edges[..., 0], edges[..., 1]
        legal = (begin + slots < end) & (beams.scores > -jnp.inf)[..., None]
        log_p = jnp.broadcast_to(log_probabilities(logits), (*codes.shape[:2], num_codes))
        found = jnp.take_along_axis(log_p, codes, axis=-1, mode="clip")
        scores = jnp.where(legal, beams.scores[..., None] + found, -jnp.inf)
        if self.widest[sparse] > width:  # its best few, in the order of their codes
            kept = jnp.sort(jax.lax.top_k(scores, width)[1], axis=-1)
            scores, codes, states = (
                jnp.take_along_axis(x, kept, axis=-1) for x in (scores, codes, states)
            )
        chosen, number = best_of(scores, codes, beams, width)
        return at(chosen, of_parents(states.reshape(states.shape[0], -1), number))
