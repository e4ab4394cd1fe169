"""Structural checks of an index that comes from the disk."""

import numpy as np

from genret.errors import GenretError
from genret.index._builder import TrieArrays, code_dtype
from genret.index._row_pointers import RowPointers


def check_arrays(arrays: TrieArrays, codes_per_level: tuple[int, ...], where: str) -> None:
    """Check that arrays form a trie: what the lookups rely on and never test.

    Args:
      arrays: the arrays, on the host.
      codes_per_level: codes of each level.
      where: what to name in errors.

    Raises:
      GenretError: the first rule that is broken, with its level.
    """
    num_nodes = 1
    for level, (codes, pointers) in enumerate(zip(arrays.edge_codes, arrays.pointers, strict=True)):
        name = f"{where}: damaged index: level {level}"
        count = codes_per_level[level]
        if codes.ndim != 1 or codes.dtype != code_dtype(count) or codes.size == 0:
            raise GenretError(
                f"{name}: codes are {codes.dtype} {codes.shape}, expected {code_dtype(count)} [E]"
            )
        if int(codes.max()) >= count:
            raise GenretError(f"{name}: found code {codes.max()}, expected codes below {count}")
        first = _check_pointers(pointers, num_nodes, codes.size, name)
        if not (first[1:] | (codes[1:] > codes[:-1])).all():
            raise GenretError(f"{name}: the codes of a node are not ascending")
        num_nodes = codes.size
    name = f"{where}: damaged index: leaves"
    rows = arrays.rows
    if rows.ndim != 1 or rows.dtype != np.int32 or rows.size == 0:
        raise GenretError(f"{name}: rows are {rows.dtype} {rows.shape}, expected int32 [N]")
    first = _check_pointers(arrays.leaves, num_nodes, rows.size, name)
    seen = np.zeros(rows.size, bool)
    if rows.min() >= 0 and rows.max() < rows.size:
        seen[rows] = True
    if not seen.all():
        raise GenretError(f"{name}: rows are no permutation of the {rows.size} items")
    if not (first[1:] | (rows[1:] > rows[:-1])).all():
        raise GenretError(f"{name}: the items of a leaf are not ascending")


def _check_pointers(
    pointers: RowPointers, num_rows: int, num_entries: int, name: str
) -> np.ndarray:
    """Return which entries are the first of their row; refuse pointers that the builder never makes."""
    stored = pointers.starts if pointers.form == "starts" else pointers.extra
    error = GenretError(
        f"{name}: pointers ({pointers.form}) do not lead from {num_rows} nodes to {num_entries} edges"
    )
    if stored is not None and (stored.ndim != 1 or stored.dtype != np.int32 or stored.size == 0):
        raise error
    try:
        first = pointers.first_entries(num_entries)
    except IndexError as e:
        raise error from e
    # The pointers are right when the builder, given the same first entries, makes the same ones.
    again = RowPointers.of_entries(first)
    rebuilt = again.starts if pointers.form == "starts" else again.extra
    same = again.form == pointers.form and (stored is None or np.array_equal(stored, rebuilt))
    if not (same and first[0] and int(first.sum()) == num_rows):
        raise error
    return first
