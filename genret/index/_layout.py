"""How each level of a trie is stored and searched: chosen from its shape, kept over refreshes."""

import dataclasses
from typing import Literal

Kind = Literal["single", "dense", "window", "ragged"]

WINDOW_ROWS = 32
"""Rows of a window: the bits of one word."""

DENSE_RATIO = 64
"""Largest ratio of cells (node, code) to edges at which a level is stored as a bit mask."""

RAGGED_WIDTH = 16
"""Most children a beam that a pass over a ragged level makes room for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LevelLayout:
    """The static facts of a level: what a compiled search depends on.

    ``kind`` says how the children of a node are found:

    - ``single``: every node has one row below it, and so has its only child. Nodes, edges and rows
      are numbered alike: there is nothing to look up but the code; for the deepest levels.
    - ``dense``: a bit for each code of each node. The logits are masked as they are, without a
      gather; for levels whose nodes have many of all codes (the first ones).
    - ``window``: no node has more than 32 rows below it. All its children lie in one word of bits,
      and which of them lead to an allowed item is bit arithmetic; for the deep levels.
    - ``ragged``: nodes of any width. The children of all beams are put end to end and taken in
      passes, so a wide node costs what it has and not what the widest has.

    Attributes:
      kind: see above.
      width: of a window: its rows, a power of two; of a ragged level: children a beam and pass;
        of a single row: 1; else 0.
      steps: bits of the rows that a node has at most: bisections that find one of them.
      edges: capacity, edges.
      nodes: capacity, nodes; of dense levels, else 0.
      first_rows: whether the first row of each edge is stored.
    """

    kind: Kind
    width: int
    steps: int
    edges: int
    nodes: int
    first_rows: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """The static facts of a trie.

    Attributes:
      rows: capacity, rows.
      permuted: whether the item position of each row is stored (else it is the row's number).
      leaf_steps: bisections that find an item among those of a leaf.
      levels: of each level.
    """

    rows: int
    permuted: bool
    leaf_steps: int
    levels: tuple[LevelLayout, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LevelShape:
    """What a level of a given catalog is like.

    Attributes:
      num_codes: codes of the level.
      num_nodes: nodes.
      num_edges: edges.
      most_rows: rows of the node that has the most.
      typical_children: children of a node, averaged over rows.
    """

    num_codes: int
    num_nodes: int
    num_edges: int
    most_rows: int
    typical_children: float


def capacity_of(count: int) -> int:
    """Round up by at most a sixteenth, so that small changes fit the same arrays.

    >>> capacity_of(5), capacity_of(1000)
    (8, 1024)
    """
    step = 1 << max(3, count.bit_length() - 5)
    return -(-count // step) * step


def level_layout(shape: LevelShape, num_rows: int, reserve: float) -> LevelLayout:
    """Choose how to store and search a level.

    Args:
      shape: what the level is like.
      num_rows: N, rows of the trie.
      reserve: room to leave, as a share of what is there.
    """
    cells = shape.num_nodes * shape.num_codes
    # Where room is left for other catalogs, their widest node may be wider as well.
    most_rows = 2 * shape.most_rows if reserve > 0 else shape.most_rows
    if most_rows <= min(1, WINDOW_ROWS):
        kind: Kind = "single"
    elif cells <= DENSE_RATIO * shape.num_edges:
        kind = "dense"
    elif shape.most_rows <= WINDOW_ROWS:
        kind = "window"
    else:
        kind = "ragged"
    width = {
        "single": 1,
        "dense": 0,
        "window": min(WINDOW_ROWS, power_of_two(most_rows)),
        "ragged": min(RAGGED_WIDTH, power_of_two(round(shape.typical_children))),
    }[kind]
    return LevelLayout(
        kind=kind,
        width=width,
        steps=steps_for(most_rows),
        edges=capacity_of(int(shape.num_edges * (1 + reserve))),
        nodes=capacity_of(int(shape.num_nodes * (1 + reserve))) if kind == "dense" else 0,
        # To select a row for each winner is cheap; a number for each of many edges is not small.
        first_rows=kind != "single" and shape.num_edges * 8 <= num_rows,
    )


def fits(layout: LevelLayout, shape: LevelShape) -> bool:
    """Say whether a level can be stored in a layout that was made for another."""
    return (
        shape.num_edges <= layout.edges
        and (layout.kind != "dense" or shape.num_nodes <= layout.nodes)
        and (layout.kind not in ("single", "window") or shape.most_rows <= layout.width)
        and steps_for(shape.most_rows) <= layout.steps
    )


def steps_for(most_rows: int) -> int:
    """Return the bisections that find a row among at most ``most_rows``."""
    return power_of_two(most_rows).bit_length()


def power_of_two(count: int) -> int:
    """Round up to a power of two; at least 1."""
    return 1 << (max(1, count) - 1).bit_length()


def any_layout(capacity: int, depth: int) -> Layout:
    """Return a layout that every trie of at most ``capacity`` items fits, whatever its shape."""
    level = LevelLayout(
        kind="ragged",
        width=4,
        steps=steps_for(capacity),
        edges=capacity,
        nodes=0,
        first_rows=False,
    )
    return Layout(rows=capacity, permuted=True, leaf_steps=level.steps, levels=(level,) * depth)
