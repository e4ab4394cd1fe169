"""The shape of the trie that codes make: how it branches, and how many items share a leaf."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from genret.semantic_ids import SemanticIds


def code_shape(codes: ArrayLike | SemanticIds) -> dict[str, Any]:
    """Measure the trie of semantic IDs.

    Args:
      codes: integers [N, L], or semantic IDs.

    Returns:
      JSON values: ``levels``, for each level ``nodes`` (prefixes that end there), ``children`` (of
      the nodes above, their mean), ``most_children`` and ``one_child`` (share of the nodes above
      that have one child only); ``leaves``, ``leaf_sizes`` (items of a leaf -> leaves) and
      ``shared`` (items that share their leaf).

    Raises:
      GenretError: no codes, or no integers.

    >>> shape = code_shape([[0, 0], [0, 1], [1, 0], [1, 0]])
    >>> shape["levels"][1]
    {'nodes': 3, 'children': 1.5, 'most_children': 2, 'one_child': 0.5}
    >>> shape["leaf_sizes"], shape["shared"]
    ({1: 2, 2: 1}, 2)
    """
    rows = SemanticIds.from_codes(codes).codes
    node = np.zeros(len(rows), np.int64)
    levels = []
    for level in range(rows.shape[1]):
        # Numbers of nodes stay below N, so a pair fits into 64 bits whatever the codes are.
        pairs, node_below = np.unique(
            (node << 32) | rows[:, level].astype(np.int64), return_inverse=True
        )
        children = np.bincount(pairs >> 32)
        levels.append(
            {
                "nodes": len(pairs),
                "children": float(children.mean()),
                "most_children": int(children.max()),
                "one_child": float((children == 1).mean()),
            }
        )
        node = node_below.reshape(-1)
    sizes, counts = np.unique(np.bincount(node), return_counts=True)
    return {
        "levels": levels,
        "leaves": int(counts.sum()),
        "leaf_sizes": dict(zip(sizes.tolist(), counts.tolist(), strict=True)),
        "shared": int((sizes * counts)[sizes > 1].sum()),
    }
