"""A level whose nodes have one row each: nodes, edges and rows are numbered alike."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from genret.index.layout import LayoutRules, LevelLayout, LevelShape
from genret.index.levels.base import Children, Level, LevelParts
from genret.index.nodes import NodeRange, take_beams
from genret.index.restriction import Restriction
from genret.pytree import register_pytree
from genret.typing import Array, Bool, Int


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class SingleLevel(Level):
    """Stores nothing but the code of each row."""

    kind: ClassVar[str] = "single"

    @classmethod
    def layout_for(cls, shape: LevelShape, rules: LayoutRules) -> LevelLayout | None:
        """Return how to store a level; None where another kind has to."""
        if shape.roomy_rows > rules.single_rows:
            return None
        layout = LevelLayout.of(cls, shape, rules, width=1)
        return dataclasses.replace(layout, first_rows=False)

    @classmethod
    def fits(cls, layout: LevelLayout, shape: LevelShape) -> bool:
        """See :meth:`Level.fits`."""
        return layout.fits(shape) and shape.most_rows <= layout.width

    @classmethod
    def build(cls, parts: LevelParts) -> "SingleLevel":
        """See :meth:`Level.build`."""
        return cls(
            codes=parts.padded_codes(),
            num_codes=parts.num_codes,
            number=parts.number,
            layout=parts.layout,
        )

    def starts_on_host(self, num_rows: int) -> Bool[np.ndarray, "N"]:
        """See :meth:`Level.starts_on_host`."""
        return np.ones(num_rows, bool)

    def edges_before(self, rows: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """See :meth:`Level.edges_before`."""
        return rows

    def edge_of_row(self, rows: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """See :meth:`Level.edge_of_row`."""
        return rows

    def rows_of(
        self, edges: Int[Array, "*shape"], lo: Int[Array, "*shape"], hi: Int[Array, "*shape"]
    ) -> tuple[Int[Array, "*shape"], Int[Array, "*shape"]]:
        """See :meth:`Level.rows_of`."""
        return edges, edges + 1

    def rows_of_any(
        self, edges: Int[Array, "*shape"], num_rows: Int[Array, ""], capacity: int
    ) -> tuple[Int[Array, "*shape"], Int[Array, "*shape"]]:
        """See :meth:`Level.rows_of_any`."""
        return edges, edges + 1

    def children(self, nodes: NodeRange, restriction: Restriction | None) -> Children:
        """Return the only child of each beam, if it leads to an allowed item."""
        legal = nodes.lo < nodes.hi
        if restriction is not None:
            legal &= restriction.window(nodes.lo) & 1 == 1
        return Children(legal=legal[..., None], codes=self.codes_at(nodes.lo)[..., None])

    def locate(
        self,
        nodes: NodeRange,
        children: Children,
        parents: Int[Array, "B K"],
        slots: Int[Array, "B K"],
    ) -> tuple[Int[Array, "B K"], NodeRange]:
        """Return the codes of chosen children and where they are."""
        assert children.codes is not None
        rows = take_beams(nodes.lo, parents)
        codes = take_beams(children.codes[..., 0], parents)
        return codes, NodeRange(nodes=rows, lo=rows, hi=rows + jnp.int32(1))
