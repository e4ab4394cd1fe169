"""Tries on the host, asked by a callback in every step: what serving stacks do today."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.methods._base import Beams, Unsupported, masked_step, root
from genret.typing import Array, Codes, Float

MOST_NODES = 8_000_000
"""Nodes of a trie of Python dictionaries: about 250 bytes each."""


class _Asked:
    """A trie on the host, by identity: it is no array, so it is a static part of the pytree."""

    def __init__(self, bytes_: int) -> None:
        self.bytes = bytes_

    def codes_after(self, prefix: tuple[int, ...]) -> Any:
        """Return the codes that may follow."""
        raise KeyError(prefix)

    def mask(self, codes: Any, num_codes: int) -> np.ndarray:
        """Return bool [B, M, V]."""
        prefixes = np.asarray(codes)
        mask = np.zeros((*prefixes.shape[:2], num_codes), bool)
        for where in np.ndindex(mask.shape[:2]):
            mask[where][self.codes_after(tuple(prefixes[where].tolist()))] = True
        return mask


class _Nested(_Asked):
    def __init__(self, codes: Codes) -> None:
        self.root: dict[int, Any] = {}
        nodes = 1
        for row in codes.tolist():
            node = self.root
            for code in row:
                child = node.get(code)
                if child is None:
                    child = node[code] = {}
                    nodes += 1
                node = child
        super().__init__(nodes * 250)

    def codes_after(self, prefix: tuple[int, ...]) -> Any:
        node = self.root
        for code in prefix:
            node = node.get(code, {})
        return list(node)


class _Marisa(_Asked):
    """Semantic IDs as strings, a character a code, as in GENRE; the first level is kept aside."""

    def __init__(self, codes: Codes) -> None:
        try:
            import marisa_trie
        except ImportError as e:
            raise Unsupported("marisa: the library is absent: pip install marisa-trie") from e
        self.first = np.unique(codes[:, 0]).tolist()
        self.trie = marisa_trie.Trie("".join(map(_character, row)) for row in codes.tolist())
        super().__init__(len(self.trie.tobytes()))

    def codes_after(self, prefix: tuple[int, ...]) -> Any:
        if not prefix:
            return self.first
        key = "".join(map(_character, prefix))
        return [_code(word[len(key)]) for word in self.trie.keys(key)]


def _character(code: int) -> str:
    code += 1  # no character 0, and none of the surrogates
    return chr(code if code < 0xD800 else code + 0x800)


def _code(character: str) -> int:
    code = ord(character)
    return (code if code < 0xD800 else code - 0x800) - 1


class _HostTrie:
    """What both have in common; a place is nothing: the codes are sent to the host."""

    trie: _Asked
    exact: ClassVar[bool] = True
    on_host: ClassVar[bool] = True

    @property
    def bytes(self) -> int:
        """Bytes on the host, estimated."""
        return self.trie.bytes

    def start(self, batch: int) -> Beams:
        """Return one beam a request."""
        return root(batch, None)

    def step(self, logits: Float[Array, "B m V"], beams: Beams, width: int) -> Beams:
        """Ask the host which codes are legal."""
        num_codes = logits.shape[-1]
        shape = jax.ShapeDtypeStruct((*beams.scores.shape, num_codes), jnp.bool_)
        legal = jax.pure_callback(partial(self.trie.mask, num_codes=num_codes), shape, beams.codes)
        return masked_step(logits, legal, beams, width)[0]


@partial(jax.tree_util.register_dataclass, data_fields=(), meta_fields=("trie",))
@dataclasses.dataclass(frozen=True, kw_only=True)
class DictTrie(_HostTrie):
    """Nested dictionaries."""

    trie: Any

    name: ClassVar[str] = "cpu-trie"

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        """Insert the items one by one."""
        del codes_per_level
        if codes.size > MOST_NODES:
            raise Unsupported(f"cpu-trie: up to {codes.size} dictionaries, expected {MOST_NODES}")
        return cls(trie=_Nested(codes))


@partial(jax.tree_util.register_dataclass, data_fields=(), meta_fields=("trie",))
@dataclasses.dataclass(frozen=True, kw_only=True)
class MarisaTrie(_HostTrie):
    """A marisa trie of strings."""

    trie: Any

    name: ClassVar[str] = "marisa"

    @classmethod
    def build(cls, codes: Codes, codes_per_level: Sequence[int]) -> Self:
        """Build the trie."""
        if max(codes_per_level) > 0x10FFFF - 0x801:
            raise Unsupported(f"marisa: {max(codes_per_level)} codes, expected fewer characters")
        return cls(trie=_Marisa(codes))
