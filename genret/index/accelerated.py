"""What an accelerator reads beside the trie: the remaining codes of each row, side by side."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from genret_kernels.lines_level.reference import pick

from genret.index.cells import DenseLines, Number
from genret.index.levels import DenseLevel, Level, RaggedLevel, SingleLevel, WindowLevel
from genret.index.levels.base import DeadCodes
from genret.index.lines import LANES, Load, lines_at
from genret.index.nodes import NodeRange
from genret.index.ragged_lines import RaggedLines, wide_nodes
from genret.index.restriction import NO_ROW, Restriction
from genret.pytree import register_pytree, static_field
from genret.typing import Array, Bool, Int

PLATFORMS = ("cpu", "gpu", "tpu")


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class AcceleratedLayout:
    """Arrays that spare an accelerator most of its gathers; made from the trie, never on disk.

    A CPU finds the children of a node by bit arithmetic on a few cached words. An accelerator pays
    for each gather, whatever its size. So at the first level whose nodes have few rows it reads all
    remaining codes of a beam's rows at once; from there on, beams carry what they need.

    Attributes:
      platform: "gpu" or "tpu": what the arrays are for.
      first: the first level from which on all nodes have few rows; L: there is none.
      stride: rows of a node of that level, at most.
      pairs: P, words of a row: two levels a word, the earlier one in the lower 16 bits, from the
        first level on.
      step: after how many rows the next line of ``words`` begins, a power of two.
      held: how many rows a line holds.
      words: int32 [T, 128], line i the words of the rows from ``i step`` on, as
        :func:`genret_kernels.load_rows.load_rows` reads them. A TPU reads whole lines at once, but
        slices that begin anywhere one by one.
      branches: for each level before it, where the children of its nodes are; None: not stored.
      before: int32 [T, 128], the codes of the rows at the levels before the first one, in lines that
        hold as many rows as fit, a power of two: what exclusions ask for.
    """

    platform: str = static_field()
    first: int = static_field()
    stride: int = static_field()
    pairs: int = static_field()
    step: int = static_field()
    held: int = static_field()
    words: Int[Array, "T 128"]
    branches: tuple[DenseLines | RaggedLines | None, ...]
    before: Int[Array, "T2 128"]

    def dead_codes(self, level: int, restriction: Restriction, load: Load) -> DeadCodes | None:
        """Return which codes of a level exclusions may forbid, by reading whole lines.

        Args:
          level: before the first one.
          restriction: the filters and the exclusions.
          load: see :meth:`ChildLines.child`.

        Returns:
          The codes; None: no exclusions, or a level's codes or where its children are is not stored.
        """
        excluded, branches = restriction.excluded, self.branches[: level + 1]
        if excluded is None:
            return None
        real = excluded != NO_ROW
        rows, _ = _line_shape(-(-self.first // 2), 1, overlap=False)
        line, row = jnp.divmod(jnp.where(real, excluded, 0), rows)
        found, _ = lines_at(self.before.reshape(-1), line * LANES)
        zeros = jnp.zeros_like(row)
        child = NodeRange(
            nodes=zeros, lo=zeros, hi=jnp.broadcast_to(restriction.num_rows, row.shape)
        )
        for number, branch in enumerate(branches):
            if branch is None or branch.num_codes > 1 << 16:
                return None
            codes = pick(found, number // 2 * rows + row) >> 16 * (number % 2) & 0xFFFF
            child = branch.child(child, codes, load)
        allowed = restriction.filter_before(child.hi) - restriction.filter_before(child.lo)
        gone = restriction.excluded_before(child.hi) - restriction.excluded_before(child.lo)
        # Rows are in order, and edges are different where they begin at different rows.
        again = jnp.pad(child.lo[:, 1:] == child.lo[:, :-1], ((0, 0), (1, 0)))
        return DeadCodes(rows=excluded, codes=codes, dead=real & (allowed == gone) & ~again)


def accelerated(
    platform: str, levels: Sequence[Level], num_rows: int, capacity: int
) -> AcceleratedLayout:
    """Build the arrays for a platform.

    Args:
      platform: "gpu" or "tpu".
      levels: of the trie.
      num_rows: N.
      capacity: rows that the trie has room for.
    """
    first = len(levels)
    while first and isinstance(levels[first - 1], SingleLevel | WindowLevel):
        if levels[first - 1].num_codes > 1 << 16:
            break
        first -= 1
    stride = max((level.layout.width for level in levels[first:]), default=1)
    every = [level.column(num_rows).astype(np.uint32) for level in levels]
    before, columns = every[:first], every[first:]
    pairs = -(-len(columns) // 2)
    step, held = _line_shape(pairs, stride, overlap=platform == "tpu")
    before_lines = _lines(before, 1, *_line_shape(-(-first // 2), 1, overlap=False), capacity)
    return AcceleratedLayout(
        platform=platform,
        first=first,
        stride=stride,
        pairs=pairs,
        step=step,
        held=held,
        words=jnp.asarray(_lines(columns, stride, step, held, capacity).view(np.int32)),
        branches=_branches(levels[:first], num_rows, capacity, whole=platform == "tpu"),
        before=jnp.asarray(before_lines.view(np.int32)),
    )


def _branches(
    levels: Sequence[Level], num_rows: int, capacity: int, *, whole: bool
) -> tuple[DenseLines | RaggedLines | None, ...]:
    """Build the lines of dense levels, and of the ragged ones that follow these up to the last.

    Others stay as they are: nobody would know the numbers of their wide nodes.
    """
    found: list[DenseLines | RaggedLines | None] = []
    above = np.arange(num_rows) == 0
    for place, level in enumerate(levels):
        starts = level.starts_on_host(num_rows)
        below = levels[place + 1] if place + 1 < len(levels) else None
        number = None if below is None else _numbers(below, starts)
        branch: DenseLines | RaggedLines | None = None
        if isinstance(level, DenseLevel):
            branch = DenseLines.of(level, above, number, whole)
        elif isinstance(level, RaggedLevel) and None not in found:
            room = levels[place - 1].layout.edges if place else 1
            branch = RaggedLines.of(level, above, number, whole, room, capacity)
        found.append(branch)
        above = starts
    ragged = [isinstance(level, RaggedLevel) for level in levels]
    if ragged != sorted(ragged) or None in found:
        found = [None if is_ragged else x for x, is_ragged in zip(found, ragged, strict=True)]
    return tuple(found)


def _numbers(below: Level, starts: Bool[np.ndarray, "N"]) -> Number:
    """Return what a level calls its nodes, by the edges above that lead to them."""
    if isinstance(below, RaggedLevel):
        return np.append(0, np.cumsum(wide_nodes(starts))).__getitem__
    return lambda edges: edges


def _line_shape(words: int, stride: int, *, overlap: bool) -> tuple[int, int]:
    """Return after how many rows a line begins and how many it holds.

    Args:
      words: words of a row.
      stride: rows of a node, at most.
      overlap: let lines overlap, so that the rows of a node are in one: in lanes that would be empty
        otherwise, or at twice the memory. Where that is not enough they do not.
    """
    rows = LANES // max(1, words)
    apart = 1 << rows.bit_length() - 1
    room = rows - stride + 1
    if overlap and 2 * room >= apart:
        return min(apart, 1 << room.bit_length() - 1), rows
    return apart, apart


def _lines(
    columns: Sequence[np.ndarray], stride: int, step: int, held: int, capacity: int
) -> np.ndarray:
    """Put the codes of all rows into lines; there are none where a beam's rows exceed one."""
    if not columns or stride > held:
        return np.zeros((1, LANES), np.uint32)
    lines = np.zeros((capacity // step + 2, LANES), np.uint32)
    for number, column in enumerate(columns):
        filled = np.zeros((len(lines) - 1) * step + held, np.uint32)
        filled[: column.size] = column << 16 * (number % 2)
        start = number // 2 * held
        of_lines = np.lib.stride_tricks.sliding_window_view(filled, held)[::step]
        lines[:, start : start + held] |= of_lines
    return lines
