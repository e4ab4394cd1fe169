"""Codes to trie arrays: sort, find where prefixes change, count. No Python loop over items."""

import dataclasses

import numpy as np

from genret.index._row_pointers import RowPointers
from genret.typing import Int


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrieArrays:
    """The arrays of an index, on the host.

    Attributes:
      edge_codes: per level, the code of each edge, uint16 or uint32 [E_l].
      pointers: per level, node -> its first edge.
      leaves: leaf -> its first sorted row.
      rows: int32 [N], sorted row -> item position.
    """

    edge_codes: list[np.ndarray]
    pointers: list[RowPointers]
    leaves: RowPointers
    rows: np.ndarray


def build_arrays(codes: np.ndarray, codes_per_level: tuple[int, ...]) -> TrieArrays:
    """Build the arrays of the trie.

    A row *starts* an edge of level ``l`` when its first ``l + 1`` codes differ from those of the
    row before it. Edges of level ``l`` in row order are the nodes of level ``l + 1``, so an edge
    is the first of its node exactly where its row also starts an edge of level ``l - 1``.

    Args:
      codes: checked codes, integers [N, L], signed or not; any order, duplicates allowed.
      codes_per_level: codes of each level.

    Returns:
      The arrays.
    """
    num_items, depth = codes.shape
    rows = sort_rows(codes, codes_per_level)
    starts = np.zeros(num_items, bool)
    starts[0] = True
    starts_above = starts.copy()  # level -1: the root has all rows
    edge_codes, pointers = [], []
    for level in range(depth):
        column = codes[:, level][rows]
        starts[1:] |= column[1:] != column[:-1]
        edge_codes.append(column[starts].astype(code_dtype(codes_per_level[level])))
        pointers.append(RowPointers.of_entries(starts_above[starts]))
        np.copyto(starts_above, starts)
    return TrieArrays(
        edge_codes=edge_codes,
        pointers=pointers,
        leaves=RowPointers.of_entries(starts),
        rows=rows,
    )


def sort_rows(codes: np.ndarray, codes_per_level: tuple[int, ...]) -> Int[np.ndarray, "N"]:
    """Return the item positions in lexicographic order of their codes; ties keep their order.

    Several levels are packed into one 64-bit key, so that sorting takes a pass for each key and
    not one for each level.
    """
    keys: list[np.ndarray] = []
    room = 0
    for level, count in enumerate(codes_per_level):
        bits = max(1, (count - 1).bit_length())
        column = codes[:, level].astype(np.uint64)
        if bits > room:
            keys.append(column)
            room = 64 - bits
        else:
            keys[-1] <<= np.uint64(bits)
            keys[-1] |= column
            room -= bits
    if _ascending(keys):
        return np.arange(codes.shape[0], dtype=np.int32)
    return np.lexsort(keys[::-1]).astype(np.int32)


def code_dtype(count: int) -> np.dtype:
    """Return the type that stores the codes of a level: uint16 where they fit, else uint32."""
    return np.dtype(np.uint16 if count <= 2**16 else np.uint32)


def width_of(widest: int) -> int:
    """Round a branch width up to a power of two, so that small changes keep the compiled program."""
    return 1 << (widest - 1).bit_length()


def _ascending(keys: list[np.ndarray]) -> bool:
    """Say whether the rows of the keys are in lexicographic order already."""
    undecided = np.ones(keys[0].size - 1, bool)
    for key in keys:
        if (undecided & (key[1:] < key[:-1])).any():
            return False
        undecided &= key[1:] == key[:-1]
    return True
