"""The static facts of a trie: how each level is stored and how much fits its arrays."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayoutRules:
    """Which way to store a level is chosen by these bounds; the defaults are those of all indices.

    The kinds are tried in this order, and the first that takes a level stores it:

    - ``single``: every node has one row below it, and so has its only child. Nodes, edges and rows
      are numbered alike: there is nothing to look up but the code. For the deepest levels.
    - ``dense``: a bit for each code of each node. The logits are masked as they are, without a
      gather. For levels whose nodes have many of all codes, the first ones.
    - ``window``: no node has more than 32 rows below it. All its children lie in one word of bits,
      and which of them lead to an allowed item is bit arithmetic. For the deep levels.
    - ``ragged``: nodes of any width. The children of all beams are put end to end and taken in
      passes, so a wide node costs what it has and not what the widest has.

    Attributes:
      single_rows: most rows of a node of a single level: 1, or 0 for no such level.
      dense_ratio: largest ratio of cells (node, code) to edges of a dense level.
      window_rows: most rows of a node of a window level, at most 32.
      ragged_width: most children a beam that a pass over a ragged level makes room for.
      least_pass: least children of a request that such a pass makes room for.
      few_edges: most edges of a level for which the first row of each is stored, however many rows
        there are: looking it up is one kernel of a compiled search, selecting it some twenty.
    """

    single_rows: int = 1
    dense_ratio: int = 64
    window_rows: int = 32
    ragged_width: int = 16
    least_pass: int = 256
    few_edges: int = 1 << 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class LevelShape:
    """What a level of a given catalog is like.

    Attributes:
      num_codes: codes of the level.
      num_rows: N, rows of the trie.
      num_nodes: nodes.
      num_edges: edges.
      most_rows: rows of the node that has the most.
      typical_children: children of a node, averaged over rows.
      reserve: room to leave for other catalogs, as a share of what is there.
    """

    num_codes: int
    num_rows: int
    num_nodes: int
    num_edges: int
    most_rows: int
    typical_children: float
    reserve: float

    @classmethod
    def widest(cls, shapes: Sequence["LevelShape"]) -> "LevelShape":
        """Return a shape that is as large as each of some shapes of one level in all respects."""
        names = ("num_rows", "num_nodes", "num_edges", "most_rows", "typical_children")
        largest = {name: max(getattr(shape, name) for shape in shapes) for name in names}
        return dataclasses.replace(shapes[0], **largest)

    @property
    def roomy_rows(self) -> int:
        """Most rows of a node; twice as many where there is to be room for other catalogs."""
        return 2 * self.most_rows if self.reserve > 0 else self.most_rows

    def capacity_of(self, count: int) -> int:
        """Return the capacity for what there are ``count`` of."""
        return capacity_of(int(count * (1 + self.reserve)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LevelLayout:
    """The static facts of a level: what a compiled search depends on.

    Attributes:
      kind: the class of the level, one of ``genret/index/levels``.
      steps: bits of the rows that a node has at most: bisections that find one of them.
      edges: capacity, edges.
      width: of a single level 1; of a window its rows, a power of two; of a ragged level the
        children a beam and pass; else 0.
      nodes: capacity, nodes; of dense levels, else 0.
      first_rows: whether the first row of each edge is stored.
      least_pass: least children of a request and pass; of ragged levels, else 0.
    """

    kind: type
    steps: int
    edges: int
    width: int = 0
    nodes: int = 0
    first_rows: bool = False
    least_pass: int = 0

    @classmethod
    def of(cls, kind: type, shape: LevelShape, rules: LayoutRules, **facts: int) -> "LevelLayout":
        """Return the layout of a level of some kind, with the room that its shape asks for."""
        few = max(rules.few_edges, shape.num_rows // 8)
        return cls(
            kind=kind,
            steps=steps_for(shape.roomy_rows),
            edges=shape.capacity_of(shape.num_edges),
            # To select a row for each winner is cheap; a number for each of many edges is not small.
            first_rows=shape.num_edges <= few,
            **facts,
        )

    def fits(self, shape: LevelShape) -> bool:
        """Say whether a level has room here, whatever the kind."""
        return shape.num_edges <= self.edges and steps_for(shape.most_rows) <= self.steps


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

    def steps(self, level: int) -> int:
        """Return the bisections that find a row among those of a node; level L: of a leaf."""
        return self.leaf_steps if level == len(self.levels) else self.levels[level].steps


def capacity_of(count: int) -> int:
    """Round up by at most a sixteenth, so that small changes fit the same arrays.

    >>> capacity_of(5), capacity_of(1000)
    (8, 1024)
    """
    step = 1 << max(3, count.bit_length() - 5)
    return -(-count // step) * step


def steps_for(most_rows: int) -> int:
    """Return the bisections that find a row among at most ``most_rows``."""
    return power_of_two(most_rows).bit_length()


def power_of_two(count: int) -> int:
    """Round up to a power of two; at least 1."""
    return 1 << (max(1, count) - 1).bit_length()
