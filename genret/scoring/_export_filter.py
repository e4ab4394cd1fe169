"""Filters as an input of an exported program: bits of items become what the search reads, on the device."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from genret.index import FilterStack, TrieIndex
from genret.index.bits import BLOCK_ROWS, BLOCK_WORDS, WORD_BITS
from genret.index.restriction import AllowedRows
from genret.pytree import register_pytree, static_field
from genret.typing import Array, Bool, Int, UInt


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class LevelEdges:
    """Where the bits of a level's edges come from and go to.

    Attributes:
      starts: first row of each edge, then the number of rows, int32 [E + 1].
      word: word of each edge's bit, int32 [E].
      shift: place of the bit in its word, uint32 [E].
      shape: shape of the words that the search reads.
    """

    starts: Int[Array, "E1"]
    word: Int[Array, "E"]
    shift: UInt[Array, "E"]
    shape: tuple[int, ...] = static_field()


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class FilterBuilder:
    """Builds the filters of an index inside a program, as :class:`genret.index.FilterStack` on the host.

    Attributes:
      positions: item of each row, int32 [N]; None: they are equal.
      alive: which items are not removed, bool [N].
      levels: for each level how its bits are made; None where the rows say it.
      capacity: rows that the index has room for.
    """

    positions: Int[Array, "N"] | None
    alive: Bool[Array, "N"]
    levels: tuple[LevelEdges | None, ...]
    capacity: int = static_field()

    @classmethod
    def of(cls, index: TrieIndex) -> "FilterBuilder":
        """Read from an index what building its filters takes."""
        trie = index.whole_trie("export")
        num_rows = int(trie.num_rows)
        alive = np.zeros(index.num_items, bool)
        alive[index.items_below(())] = True
        levels: list[LevelEdges | None] = []
        for level, edges in zip(trie.levels, trie.edges_on_host, strict=True):
            if edges is None:
                levels.append(None)
                continue
            number = np.arange(edges.first_rows.size)
            shape: tuple[int, ...] = (level.layout.edges // WORD_BITS + 1,)
            if edges.nodes is not None and edges.codes is not None:
                shape = (level.layout.nodes, -(-level.num_codes // WORD_BITS))
                number = edges.nodes * shape[1] * WORD_BITS + edges.codes
            levels.append(
                LevelEdges(
                    starts=jnp.asarray(np.append(edges.first_rows, num_rows), jnp.int32),
                    word=jnp.asarray(number // WORD_BITS, jnp.int32),
                    shift=jnp.asarray(number % WORD_BITS, jnp.uint32),
                    shape=shape,
                )
            )
        positions = trie.positions
        return cls(
            positions=None if positions is None else jnp.asarray(positions[:num_rows], jnp.int32),
            alive=jnp.asarray(alive),
            levels=tuple(levels),
            capacity=trie.layout.rows,
        )

    def stack(self, bits: UInt[Array, "F W"]) -> FilterStack:
        """Return the filters that bits say, and after them one that allows nothing."""
        num_items = self.alive.shape[0]
        nothing = jnp.zeros((1, bits.shape[1]), jnp.uint8)
        unpacked = jnp.unpackbits(
            jnp.concatenate([bits, nothing]), axis=1, count=num_items, bitorder="little"
        )
        rows, masks = jax.vmap(self._bits)(unpacked.astype(bool) & self.alive[None])
        allowed = AllowedRows(rows=rows, masks=masks)
        return FilterStack(rows=allowed, inserted=None, size=bits.shape[0] + 1)

    def _bits(
        self, mask: Bool[Array, "N"]
    ) -> tuple[UInt[Array, "W"], tuple[UInt[Array, "..."] | None, ...]]:
        """Return the bits of one set of items: those of rows, and those of each level."""
        by_row = mask if self.positions is None else mask[self.positions]
        before = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(by_row, dtype=jnp.int32)])
        masks: list[Array | None] = []
        for level in self.levels:
            if level is None:
                masks.append(None)
                continue
            counts = before[level.starts]
            leads = (counts[1:] > counts[:-1]).astype(jnp.uint32) << level.shift
            words = jnp.zeros(int(np.prod(level.shape)), jnp.uint32)
            # Every edge has a bit of its own: adding sets it.
            masks.append(words.at[level.word].add(leads).reshape(level.shape))
        return _rank_bits(by_row, self.capacity), tuple(masks)


def _rank_bits(bits: Bool[Array, "N"], capacity: int) -> UInt[Array, "W"]:
    """Return what :func:`genret.index.bits.pack_bits` returns, on the device."""
    blocks = capacity // BLOCK_ROWS + 2
    padded = jnp.zeros(blocks * BLOCK_ROWS, jnp.uint32).at[: bits.shape[0]].set(bits)
    places = jnp.arange(WORD_BITS, dtype=jnp.uint32)[None, None]
    words = (padded.reshape(blocks, BLOCK_WORDS - 1, WORD_BITS) << places).sum(
        axis=-1, dtype=jnp.uint32
    )
    counts = jax.lax.population_count(words).sum(axis=1, dtype=jnp.uint32)
    before = jnp.cumsum(counts, dtype=jnp.uint32) - counts
    return jnp.concatenate([before[:, None], words], axis=1).reshape(-1)
