"""Methods that mask all codes of all beams: none, by bits on the device, or by a trie on the host."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.methods import _base as base
from benchmarks.methods._base import Beams, Method, Unsupported, masked_step, take
from genret.index.bits import low_bits
from genret.pytree import register_pytree
from genret.typing import Array, Codes, Float, Int, UInt

BITS_A_PREFIX = 32
"""Bits of the hash bitmap for each prefix, at least: 1.5 to 3 % of the others collide."""

MOST_BYTES = 2 << 30
"""Most bytes of a dense bit mask."""

MOST_NODES = 8_000_000
"""Prefixes in a Python dictionary: about 250 bytes each."""


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Unconstrained(Method):
    """No constraint: what every other method is compared with. Its answers need not exist."""

    name: ClassVar[str] = "unconstrained"
    exact: ClassVar[bool] = False

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        return cls()

    def restrict(self, masks: Any, filter_of: Any, seen: Any) -> Self:
        return self

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        return masked_step(logits, None, beams, width)[0]


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class HashBitmap(Method):
    """A bit for the hash of each prefix; what collides is let through.

    Beams carry their hash. The published method hashes the whole prefix anew at every step.
    """

    words: UInt[Array, "W"]  # 2**k bits

    name: ClassVar[str] = "hash-bitmap"
    exact: ClassVar[bool] = False

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        hashes, of_row = [], np.zeros(len(codes), np.uint32)
        for (rows, _, _), column in zip(base.edges_of(codes), codes.T, strict=True):
            of_row = _hash(of_row, column.astype(np.uint32))
            hashes.append(of_row[rows])
        size = 1 << (BITS_A_PREFIX * sum(map(len, hashes)) - 1).bit_length()
        if size > 1 << 32:
            raise Unsupported(f"hash-bitmap: {size} bits, expected at most 2**32")
        bits = np.zeros(max(size, 32), bool)
        for own in hashes:
            bits[_mixed(own) & np.uint32(size - 1)] = True
        return cls(words=jnp.asarray(base.bits_of(bits)))

    @property
    def false_positive_rate(self) -> float:
        """Share of prefixes that do not exist and are let through: that of the bits that are set."""
        return float(np.bitwise_count(np.asarray(self.words)).sum() / (32 * self.words.size))

    def root(self, zeros: Int[Array, "B 1"]) -> UInt[Array, "B 1"]:
        return zeros.astype(jnp.uint32)

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        codes = jnp.arange(logits.shape[-1], dtype=jnp.uint32)[None, None]
        hashes = _hash(beams.place[..., None], codes)
        bit = _mixed(hashes) & jnp.uint32(32 * self.words.size - 1)
        legal = self.words[bit >> 5] >> (bit & 31) & 1 == 1
        chosen, number = masked_step(logits, legal, beams, width)
        return chosen.at(take(hashes, number))


def _hash(before: Any, codes: Any) -> Any:
    """Add a code to the hash of the codes before it (FNV-1a over 32-bit symbols)."""
    return ((before ^ np.uint32(2166136261)) ^ codes) * np.uint32(16777619) + np.uint32(1)


def _mixed(hashes: Any) -> Any:
    """Spread a hash over all bits (the end of MurmurHash3)."""
    hashes = (hashes ^ (hashes >> 16)) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> 13)) * np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> 16)


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseBitmask(Method):
    """A bit for every node and code, while that fits; a place is a node."""

    words: tuple[UInt[Array, "P W"], ...]  # for each level, of its nodes
    children: tuple[Int[Array, "P"], ...]  # the first child of each node

    name: ClassVar[str] = "dense-bitmask"

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        edges = base.edges_of(codes)
        nodes = [1, *(len(own) for own, _, _ in edges[:-1])]
        size = sum(n * -(-v // 32) * 4 for n, v in zip(nodes, codes_per_level, strict=True))
        if size > MOST_BYTES:
            raise Unsupported(f"dense-bitmask: {size} bytes, expected at most {MOST_BYTES}")
        words, children = [], []
        for (_, own, node), count, num_codes in zip(edges, nodes, codes_per_level, strict=True):
            mask = np.zeros((count, -(-num_codes // 32)), np.uint32)
            bits = np.uint32(1) << (own % 32).astype(np.uint32)
            np.bitwise_or.at(mask, (node, own // 32), bits)
            words.append(jnp.asarray(mask))
            children.append(jnp.asarray(np.searchsorted(node, np.arange(count)).astype(np.int32)))
        return cls(words=tuple(words), children=tuple(children))

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        words, children = self.words[beams.level], self.children[beams.level]
        legal = base.bits_to_mask(words[beams.place], logits.shape[-1])
        chosen, _ = masked_step(logits, legal, beams, width)
        node = take(beams.place, chosen.parents)
        own = words[node]
        before = (
            chosen.codes[..., -1:] - 32 * jnp.arange(own.shape[-1], dtype=jnp.int32)[None, None]
        )
        rank = jax.lax.population_count(own & low_bits(before)).astype(jnp.int32).sum(axis=-1)
        return chosen.at(children.at[node].get(mode="clip") + rank)


class _HostTrie(Method):
    """A trie on the host, asked by a callback in every step, as serving stacks do today.

    It holds no array: by its identity it is a static part of what is compiled.
    """

    on_host = True
    bytes = 0

    def codes_after(self, prefix: tuple[int, ...]) -> list[int]:
        """Return the codes that may follow a prefix."""
        raise NotImplementedError

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        def legal(codes: Any) -> np.ndarray:
            prefixes = np.asarray(codes)
            mask = np.zeros(shape.shape, bool)
            for where in np.ndindex(mask.shape[:2]):
                mask[where][self.codes_after(tuple(prefixes[where].tolist()))] = True
            return mask

        shape = jax.ShapeDtypeStruct((*beams.scores.shape, logits.shape[-1]), jnp.bool_)
        return masked_step(logits, jax.pure_callback(legal, shape, beams.codes), beams, width)[0]


@jax.tree_util.register_static
class DictTrie(_HostTrie):
    """A dictionary of prefixes on the host."""

    name = "cpu-trie"

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        if codes.size > MOST_NODES:
            raise Unsupported(f"cpu-trie: up to {codes.size} prefixes, expected {MOST_NODES}")
        trie = cls()
        trie.after = base.prefix_table(codes)
        trie.bytes = 250 * sum(map(len, trie.after.values()))
        return trie

    def codes_after(self, prefix: tuple[int, ...]) -> list[int]:
        return self.after.get(prefix, [])


@jax.tree_util.register_static
class MarisaTrie(_HostTrie):
    """Semantic IDs as strings in a marisa trie, a character for each code, as in GENRE."""

    name = "marisa"

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        if max(codes_per_level) > 0x10FFFF - 0x801:
            raise Unsupported(f"marisa: {max(codes_per_level)} codes, expected fewer characters")
        try:
            import marisa_trie
        except ImportError as e:
            raise Unsupported("marisa: the library is absent: pip install marisa-trie") from e
        trie = cls()
        trie.first = np.unique(codes[:, 0]).tolist()
        trie.words = marisa_trie.Trie("".join(map(_character, row)) for row in codes.tolist())
        trie.bytes = len(trie.words.tobytes())
        return trie

    def codes_after(self, prefix: tuple[int, ...]) -> list[int]:
        if not prefix:
            return self.first
        key = "".join(map(_character, prefix))
        return [_code(word[len(key)]) for word in self.words.keys(key)]


def _character(code: int) -> str:
    code += 1  # no character 0, and none of the surrogates
    return chr(code if code < 0xD800 else code + 0x800)


def _code(character: str) -> int:
    code = ord(character)
    return (code if code < 0xD800 else code - 0x800) - 1
