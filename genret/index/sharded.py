"""ShardedTrie: a trie in parts, each of which a device has and searches."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import jax.tree
import numpy as np
from jax.sharding import Mesh

from genret.errors import GenretError
from genret.index.build import build_sorted, common_layout
from genret.index.layout import Layout, LayoutRules
from genret.index.levels import Level
from genret.index.parts import Parts
from genret.index.restriction import NO_ROW, AllowedRows
from genret.index.trie import Trie
from genret.pytree import host_field, register_pytree, static_field
from genret.typing import Array, Bool, Int


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardedTrie:
    """A trie whose rows are cut into as many ranges of equal size as a mesh axis has devices.

    Each range is a trie of its own, and its device has it alone. The tries have one layout and
    arrays of equal sizes, so one program searches all of them. A prefix whose rows lie on both sides
    of a cut is in both tries; each has some of its children.

    Attributes:
      parts: the tries.
      num_rows: int32 scalar: N, rows of all.
      layout: of the trie that was cut.
      checksum: of the items, on the host; -1: unknown.
      num_nodes: nodes of each level of the trie that was cut, on the host.
    """

    parts: Parts[Trie]
    num_rows: Int[Array, ""]
    layout: Layout = static_field()
    checksum: int = host_field(-1)
    num_nodes: tuple[int, ...] = host_field(())

    @classmethod
    def of(
        cls,
        trie: Trie,
        codes_per_level: Sequence[int],
        mesh: Mesh,
        axis: str,
        rules: LayoutRules,
        like: "ShardedTrie | None" = None,
    ) -> "ShardedTrie":
        """Cut a trie.

        Args:
          trie: the whole one.
          codes_per_level: codes of each level.
          mesh: the devices.
          axis: one of the mesh's axes: as many parts as it has devices.
          rules: which way to store a level is chosen by.
          like: a trie that this one replaces; its layout is kept where the parts fit it.
        """
        size, num_rows = mesh.shape[axis], int(trie.num_rows)
        bounds = [num_rows * number // size for number in range(size + 1)]
        ranges = [slice(lo, hi) for lo, hi in itertools.pairwise(bounds)]
        columns = [level.column(num_rows) for level in trie.levels]
        positions = None if trie.positions is None else trie.positions_by_row
        layout = common_layout(
            [[column[rows] for column in columns] for rows in ranges],
            codes_per_level,
            whole=trie.layout,
            rules=rules,
            like=None if like is None else like.parts.stacked.layout,
        )

        def parts() -> Iterator[Trie]:
            for rows in ranges:
                part = build_sorted(
                    (column[rows] for column in columns),
                    None if positions is None else positions[rows],
                    rows.stop - rows.start,
                    codes_per_level,
                    layout,
                )
                assert part.layout == layout
                first = None if positions is not None else jnp.asarray(rows.start, jnp.int32)
                yield dataclasses.replace(part, first_position=first)

        return cls(
            parts=Parts.of(parts(), mesh, axis),
            num_rows=jnp.asarray(num_rows, jnp.int32),
            layout=trie.layout,
            checksum=trie.checksum,
            num_nodes=trie.num_nodes,
        )

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels of all parts, stacked."""
        return self.parts.stacked.levels

    @property
    def positions(self) -> Int[Array, "n N"] | None:
        """Item position of each row of each part; None: they are the numbers of the rows."""
        return self.parts.stacked.positions

    @property
    def accelerated(self) -> None:
        """A part is searched as a CPU searches: no accelerator has arrays of its own."""
        return None

    def row_of_item(self) -> Parts[Array] | None:
        """Return the rows of each part in the order of their items' positions; None: they are."""
        if self.positions is None:
            return None
        count = self.parts.stacked.num_rows[:, None]
        row = jnp.arange(self.positions.shape[1], dtype=jnp.int32)[None]
        order = jnp.argsort(jnp.where(row < count, self.positions, NO_ROW), axis=1)
        parts = self.parts
        return Parts(stacked=order.astype(jnp.int32), mesh=parts.mesh, axis=parts.axis, at=0)

    # On the host

    @functools.cached_property
    def on_host(self) -> tuple[Trie, ...]:
        """The parts, with arrays on the host."""
        return tuple(self.parts.on_host(number) for number in range(self.parts.size))

    def rows_below(self, prefix: Sequence[int]) -> tuple[int, int]:
        """Return the rows of the items whose codes begin with a prefix: ``[lo, hi)``."""
        found, first = [], 0
        for part in self.on_host:
            lo, hi = jax.tree.map(jnp.asarray, part).rows_below(prefix)
            if lo < hi:
                found.append((first + lo, first + hi))
            first += int(part.num_rows)
        return (found[0][0], found[-1][1]) if found else (0, 0)

    def codes_after(self, prefix: Sequence[int]) -> list[int]:
        """Return the codes that may follow a prefix, ascending."""
        parts = (jax.tree.map(jnp.asarray, part) for part in self.on_host)
        return sorted({code for part in parts for code in part.codes_after(prefix)})

    @functools.cached_property
    def positions_by_row(self) -> Int[np.ndarray, "N"]:
        """Item position of each row, int32."""
        return np.concatenate([part.positions_by_row for part in self.on_host])

    def codes_by_row(self) -> Int[np.ndarray, "N L"]:
        """Return the semantic ID of each row, int64."""
        return np.concatenate([part.codes_by_row() for part in self.on_host])

    def allow(self, mask: Bool[np.ndarray, "N"]) -> Parts[AllowedRows]:
        """Put a set of allowed rows on the devices, as a stack of one set.

        Args:
          mask: bool [N], by row.
        """
        until = np.cumsum([int(part.num_rows) for part in self.on_host])
        masks = np.split(mask, until[:-1])
        allowed = (part.allow(own) for part, own in zip(self.on_host, masks, strict=True))
        return Parts.of(allowed, self.parts.mesh, self.parts.axis, at=1)


def check_axis(mesh: Mesh, axis: str) -> None:
    """Raise GenretError where a mesh has no such axis."""
    if axis not in mesh.axis_names:
        raise GenretError(f"axis: found {axis!r}, expected one of {', '.join(mesh.axis_names)}")
