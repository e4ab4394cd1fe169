"""Allowed rows of a segment: bits on the device that a step reads instead of the trie's own."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.index._builder import code_masks
from genret.index.bits import pack_bits, unpack_bits
from genret.index.segment import Level, Segment
from genret.typing import Bool


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class AllowedRows:
    """Sets of allowed rows of a segment.

    Attributes:
      rows: uint32 [P, n, 8], rank bits of the rows.
      masks: for each level, uint32 [P, S, V / 32]: of each node the codes that lead to an allowed
        row, where the level is dense; else None.
    """

    rows: Any
    masks: tuple[Any, ...]


def allow(segment: Segment, edges: "tuple[DenseEdges | None, ...]", mask: Any) -> AllowedRows:
    """Put a set of allowed rows on the device.

    Args:
      segment: the trie.
      edges: its dense levels, from :func:`dense_edges`.
      mask: bool [N], by row, on the host.

    Returns:
      The set, as a stack of one.
    """
    masks: list[Any] = []
    for level, dense in zip(segment.levels, edges, strict=True):
        if dense is None:
            masks.append(None)
            continue
        leads = np.logical_or.reduceat(mask, dense.first_rows) if mask.size else mask[:0]
        words = code_masks(
            dense.nodes[leads], dense.codes[leads], level.layout.nodes, level.num_codes
        )
        masks.append(jnp.asarray(words)[None])
    rows = jnp.asarray(pack_bits(mask, segment.layout.rows))[None]
    return AllowedRows(rows=rows, masks=tuple(masks))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseEdges:
    """The edges of a dense level, on the host.

    Attributes:
      first_rows: int64 [E], the first row of each edge.
      nodes: int64 [E], the node that each edge leaves.
      codes: the code of each edge, [E].
    """

    first_rows: np.ndarray
    nodes: np.ndarray
    codes: np.ndarray


def dense_edges(segment: Segment) -> tuple[DenseEdges | None, ...]:
    """Read the edges of the dense levels of a segment back to the host; None for other levels."""
    num_rows = int(segment.num_rows)
    found: list[DenseEdges | None] = []
    above = _at_root(num_rows)
    for level in segment.levels:
        if level.layout.kind != "dense":
            found.append(None)
            continue
        if found and found[-1] is None:  # its nodes are the edges of a level that was skipped
            above = unpack_bits(segment.levels[len(found) - 1].starts, num_rows)
        starts = unpack_bits(level.starts, num_rows)
        first_rows = np.flatnonzero(starts)
        found.append(
            DenseEdges(
                first_rows=first_rows,
                nodes=np.cumsum(above[first_rows]) - 1,
                codes=np.asarray(level.codes)[: first_rows.size],
            )
        )
        above = starts
    return tuple(found)


def column_of(level: Level, num_rows: int) -> np.ndarray:
    """Return the codes of a level by row, on the host."""
    starts = unpack_bits(level.starts, num_rows)
    return np.asarray(level.codes)[np.cumsum(starts) - 1]


def _at_root(num_rows: int) -> Bool[np.ndarray, "N"]:
    above = np.zeros(num_rows, bool)
    above[:1] = True
    return above
