"""Allowed rows of a segment: bits on the device that a step reads instead of the trie's own."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.index._builder import code_masks
from genret.index.bits import WORD_BITS, pack_bits
from genret.index.segment import Level, Segment
from genret.typing import Bool


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class AllowedRows:
    """Sets of allowed rows of a segment.

    Attributes:
      rows: uint32 [P, 8 n], rank bits of the rows.
      masks: for each level a bit for what leads to an allowed row. Dense ones: for each code of
        each node, uint32 [P, S, V / 32]; ragged ones: for each edge, uint32 [P, E / 32 + 1];
        others: None, their rows say it.
    """

    rows: Any
    masks: tuple[Any, ...]


def allow(segment: Segment, edges: "tuple[Edges | None, ...]", mask: Any) -> AllowedRows:
    """Put a set of allowed rows on the device.

    Args:
      segment: the trie.
      edges: from :func:`edges_of`.
      mask: bool [N], by row, on the host.

    Returns:
      The set, as a stack of one.
    """
    masks: list[Any] = []
    for level, own in zip(segment.levels, edges, strict=True):
        if own is None:
            masks.append(None)
            continue
        leads = np.logical_or.reduceat(mask, own.first_rows) if mask.size else mask[:0]
        if own.nodes is None:
            words = np.zeros(level.layout.edges // WORD_BITS + 1, np.uint32)
            packed = np.packbits(leads, bitorder="little")
            words.view(np.uint8)[: packed.size] = packed
        else:
            codes = own.codes[leads]
            words = code_masks(own.nodes[leads], codes, level.layout.nodes, level.num_codes)
        masks.append(jnp.asarray(words[None]))
    rows = jnp.asarray(pack_bits(mask, segment.layout.rows)[None])
    return AllowedRows(rows=rows, masks=tuple(masks))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Edges:
    """The edges of a level, on the host.

    Attributes:
      first_rows: int64 [E], the first row of each edge.
      nodes: int64 [E], the node that each edge leaves; of dense levels, else None.
      codes: the code of each edge, [E]; of dense levels, else None.
    """

    first_rows: np.ndarray
    nodes: Any = None
    codes: Any = None


def edges_of(segment: Segment) -> tuple[Edges | None, ...]:
    """Read back to the host what :func:`allow` asks for; None where the rows say it."""
    num_rows = int(segment.num_rows)
    found: list[Edges | None] = []
    above = _at_root(num_rows)
    for number, level in enumerate(segment.levels):
        kind = level.layout.kind
        if kind in ("single", "window"):
            found.append(None)
            continue
        if number and kind == "dense":  # its nodes are the edges of the level above
            above = segment.levels[number - 1].starts_on_host(num_rows)
        first_rows = np.flatnonzero(level.starts_on_host(num_rows))
        edges = Edges(first_rows=first_rows)
        if kind == "dense":
            nodes = np.cumsum(above[first_rows]) - 1
            codes = np.asarray(level.codes)[: first_rows.size]
            edges = dataclasses.replace(edges, nodes=nodes, codes=codes)
        found.append(edges)
    return tuple(found)


def column_of(level: Level, num_rows: int) -> np.ndarray:
    """Return the codes of a level by row, on the host."""
    starts = level.starts_on_host(num_rows)
    return np.asarray(level.codes)[np.cumsum(starts) - 1]


def _at_root(num_rows: int) -> Bool[np.ndarray, "N"]:
    above = np.zeros(num_rows, bool)
    above[:1] = True
    return above
