"""Which codes are legal at each level of each item: what the loss over legal children asks for."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.semantic_ids import SemanticIds
from genret.typing import Array, Bool, Int

_WORD = 32


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class LegalCodes:
    """The codes that continue the prefix of each item to some item of the catalog.

    A prefix with one continuation needs no row: its code is certain. Row 0 of each level stands
    for all of those.

    Attributes:
      rows: for each item and level the row in ``masks``, int32 [N, L].
      masks: for each level, a bit for each code of each prefix with several continuations,
        uint32 [S, V / 32].
      codes_per_level: V of each level (static).

    >>> ids = SemanticIds.from_codes([[0, 1], [0, 2], [3, 1]])
    >>> legal = LegalCodes.of(ids)
    >>> [mask[0, 0].tolist() for mask in legal.at(jnp.array([[1]]))]
    [[True, False, False, True], [False, True, True]]
    """

    # JAX puts other things than arrays into a pytree's leaves now and then, hence Any.
    rows: Any
    masks: tuple[Any, ...]
    codes_per_level: tuple[int, ...] = dataclasses.field(metadata={"static": True})

    @classmethod
    def of(cls, semantic_ids: SemanticIds) -> "LegalCodes":
        """Find the legal codes of a catalog.

        Args:
          semantic_ids: those of the catalog's items.
        """
        codes, codes_per_level = semantic_ids.codes, semantic_ids.codes_per_level
        rows, masks = [], []
        node = np.zeros(len(codes), np.int64)  # of each item, the node of its prefix
        for column, count in zip(codes.T.astype(np.int64), codes_per_level, strict=True):
            edges, child = np.unique(node * count + column, return_inverse=True)
            parents = edges // count
            children = np.bincount(parents)
            row_of_node = np.where(children > 1, np.cumsum(children > 1), 0)
            bits = np.zeros((int((children > 1).sum()) + 1, -(-count // _WORD)), np.uint32)
            kept = row_of_node[parents] > 0
            code = edges[kept] % count
            np.bitwise_or.at(
                bits,
                (row_of_node[parents[kept]], code // _WORD),
                np.uint32(1) << (code % _WORD).astype(np.uint32),
            )
            rows.append(row_of_node[node])
            masks.append(jnp.asarray(bits))
            node = child
        table = jnp.asarray(np.stack(rows, axis=1), jnp.int32)
        return cls(rows=table, masks=tuple(masks), codes_per_level=codes_per_level)

    def at(self, items: Int[Array, "B T"]) -> tuple[Bool[Array, "B T _"], ...]:
        """Return for each level the legal codes of each item, bool [B, T, V].

        All codes are False where only one is legal.
        """
        rows = self.rows.at[items].get(mode="clip")
        found = []
        for level, count in enumerate(self.codes_per_level):
            words = self.masks[level].at[rows[:, :, level]].get(mode="clip")
            bits = words[..., None] >> jnp.arange(_WORD, dtype=jnp.uint32)[None, None, None]
            found.append(((bits & 1) > 0).reshape(*items.shape, -1)[..., :count])
        return tuple(found)

    def is_certain(self, items: Int[Array, "B T"]) -> Bool[Array, "B T L"]:
        """Say at which levels an item's code is the only legal one."""
        return self.rows.at[items].get(mode="clip") == 0
