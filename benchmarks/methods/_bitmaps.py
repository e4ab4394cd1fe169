"""Bits for what is legal: of hashed prefixes, or of every node and code."""

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
    bits_of,
    bits_to_mask,
    edges_of,
    masked_step,
    of_parents,
    root,
)
from genret.index.bits import low_bits
from genret.typing import Array, Codes, Float

BITS_A_PREFIX = 32
"""Bits of the hash bitmap for each prefix, at least: 1.5 to 3 % of the others collide."""

MOST_BYTES = 2 << 30
"""Most bytes of a dense bit mask."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class HashBitmap(DeviceMethod):
    """A bit for the hash of each prefix; what collides is let through.

    Beams carry their hash. The published one hashes the whole prefix anew at every step.

    Attributes:
      words: uint32 [2**k / 32].
    """

    words: Any

    name: ClassVar[str] = "hash-bitmap"
    exact: ClassVar[bool] = False

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        """Set the bits of all prefixes."""
        del codes_per_level
        hashes, of_row = [], np.zeros(len(codes), np.uint32)
        for (rows, _, _), column in zip(edges_of(codes), codes.T, strict=True):
            of_row = _hash(of_row, column.astype(np.uint32))
            hashes.append(of_row[rows])
        size = 1 << (BITS_A_PREFIX * sum(map(len, hashes)) - 1).bit_length()
        if size > 1 << 32:
            raise Unsupported(f"hash-bitmap: {size} bits, expected at most 2**32")
        bits = np.zeros(max(size, 32), bool)
        for own in hashes:
            bits[_mixed(own) & np.uint32(size - 1)] = True
        return cls(words=jnp.asarray(bits_of(bits)))

    @property
    def false_positive_rate(self) -> float:
        """Share of prefixes that do not exist and are let through: that of the bits that are set."""
        return float(np.bitwise_count(np.asarray(self.words)).sum() / (32 * self.words.size))

    def start(self, batch: int) -> Beams:
        """Return one beam a request; a place is the hash of its codes."""
        return root(batch, jnp.zeros((batch, 1), jnp.uint32))

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        """Ask for every code of every beam."""
        num_codes = logits.shape[-1]
        codes = jnp.arange(num_codes, dtype=jnp.uint32)[None, None]
        hashes = _hash(beams.place[..., None], codes)
        bit = _mixed(hashes) & jnp.uint32(32 * self.words.size - 1)
        legal = self.words[bit >> 5] >> (bit & 31) & 1 == 1
        chosen, number = masked_step(logits, legal, beams, width)
        return at(chosen, of_parents(hashes.reshape(hashes.shape[0], -1), number))


def _hash(before: Any, codes: Any) -> Any:
    """Add a code to the hash of the codes before it (FNV-1a over 32-bit symbols)."""
    return ((before ^ np.uint32(2166136261)) ^ codes) * np.uint32(16777619) + np.uint32(1)


def _mixed(hashes: Any) -> Any:
    """Spread a hash over all bits (the end of MurmurHash3)."""
    hashes = (hashes ^ (hashes >> 16)) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> 13)) * np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> 16)


@partial(jax.tree_util.register_dataclass, data_fields=("words", "children"), meta_fields=())
@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseBitmask(DeviceMethod):
    """A bit for every node and code, while that fits.

    Attributes:
      words: for each level, uint32 [nodes, V / 32].
      children: for each level, int32 [nodes]: the first child of each node.
    """

    words: tuple[Any, ...]
    children: tuple[Any, ...]

    name: ClassVar[str] = "dense-bitmask"

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        """Set the bits of all edges."""
        edges = edges_of(codes)
        nodes = [1, *(len(own) for own, _, _ in edges[:-1])]
        size = sum(n * -(-v // 32) * 4 for n, v in zip(nodes, codes_per_level, strict=True))
        if size > MOST_BYTES:
            raise Unsupported(f"dense-bitmask: {size} bytes, expected at most {MOST_BYTES}")
        words, children = [], []
        for (_, own, node), count, num_codes in zip(edges, nodes, codes_per_level, strict=True):
            mask = np.zeros((count, -(-num_codes // 32)), np.uint32)
            place = node.astype(np.int64) * mask.shape[1] + own // 32
            first = np.flatnonzero(np.diff(place, prepend=-1))
            bits = np.uint32(1) << (own % 32).astype(np.uint32)
            mask.reshape(-1)[place[first]] = np.bitwise_or.reduceat(bits, first)
            words.append(jnp.asarray(mask))
            children.append(jnp.asarray(np.searchsorted(node, np.arange(count)).astype(np.int32)))
        return cls(words=tuple(words), children=tuple(children))

    def start(self, batch: int) -> Beams:
        """Return one beam a request; a place is a node."""
        return root(batch, jnp.zeros((batch, 1), jnp.int32))

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        """Mask all codes of all beams."""
        words = self.words[beams.level][beams.place]
        legal = bits_to_mask(words, logits.shape[-1])
        chosen, _ = masked_step(logits, legal, beams, width)
        code = chosen.codes[..., -1]
        node = of_parents(beams.place, chosen.parents)
        own = self.words[beams.level][node]
        before = code[..., None] - 32 * jnp.arange(own.shape[-1], dtype=jnp.int32)[None, None]
        rank = jax.lax.population_count(own & low_bits(before)).astype(jnp.int32).sum(axis=-1)
        return at(chosen, self.children[beams.level].at[node].get(mode="clip") + rank)
