"""TrieIndex: the constraint index, a pytree of CSR levels with implicit children."""

import dataclasses
import functools
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.errors import GenretError
from genret.index import _ids, _io
from genret.index._builder import TrieArrays, build_arrays, width_of
from genret.index._codes import check_codes
from genret.index._row_pointers import RowPointers
from genret.typing import Array, Int, PathLike


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("edge_codes", "pointers", "leaves", "rows"),
    meta_fields=("codes_per_level", "widths", "leaf_width"),
    drop_fields=("item_ids",),
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrieIndex:
    """The valid semantic IDs of a catalogue, as a trie that a beam search walks on the device.

    The unique semantic IDs are sorted and the nodes of each level are numbered in that order
    (level 0 has the root alone). Then the edges of level ``l``, in order, *are* the nodes of level
    ``l + 1``: the child along edge ``e`` is node ``e``, so a level stores the codes of its edges
    and where each node's edges begin, and no child ids. The nodes of level ``L`` are the leaves;
    a leaf holds the items that share its semantic ID. Items sorted by semantic ID (then by
    position) are the *rows*; the items below a node are a range of rows, found by following the
    pointers of the first edge down to the leaves.

    An item's *position* is its row in the ``codes`` that the index was built from.

    The index is a pytree: its arrays are leaves, ``codes_per_level`` and the widths are static.
    Item ids stay on the host: an index that has been through a JAX transformation has none.

    Attributes:
      edge_codes: per level, uint16 or uint32 [E_l]: the code of each edge; ascending in a node.
      pointers: per level, the first edge of each node.
      leaves: the first row of each leaf.
      rows: int32 [N]: row -> item position.
      codes_per_level: codes of each level.
      widths: per level, the most children of a node, rounded up to a power of two.
      leaf_width: the most items of a leaf, rounded up to a power of two.
      item_ids: int64 [N] or strings [N] on the host, by position; None: ids are positions.

    >>> index = TrieIndex.from_codes([[3, 1], [0, 2], [3, 0], [0, 2]], ["a", "b", "c", "d"])
    >>> index.num_items, index.depth, index.num_nodes
    (4, 2, (1, 2, 3))
    >>> begin, end = index.children(0, jnp.array([0]))  # of the root
    >>> index.edge_codes[0][int(begin[0]) : int(end[0])].tolist()
    [0, 3]
    >>> lo, hi = index.row_range(1, jnp.array([0]))  # the items that begin with code 0
    >>> index.ids_of(index.rows[int(lo[0]) : int(hi[0])]).tolist()
    ['b', 'd']
    """

    # JAX puts other things than arrays into a pytree's leaves now and then, hence Any.
    edge_codes: tuple[Any, ...]
    pointers: tuple[RowPointers, ...]
    leaves: RowPointers
    rows: Any
    codes_per_level: tuple[int, ...]
    widths: tuple[int, ...]
    leaf_width: int
    item_ids: Any = None

    @classmethod
    def from_codes(
        cls, codes: Any, item_ids: Any = None, *, codes_per_level: Any = None
    ) -> "TrieIndex":
        """Build the index of a catalogue.

        Args:
          codes: integers [N, L], one row an item, in any order; items may share a row.
          item_ids: N distinct integers or strings; None takes the positions 0 to N - 1.
          codes_per_level: L counts of codes; None takes the largest code of each level + 1.

        Returns:
          The index, its arrays on the default device.

        Raises:
          GenretError: codes that are empty, ragged, no integers, negative or out of range; ids of
            another number, of mixed types, or that occur twice.

        >>> TrieIndex.from_codes([[0.5, 1.0]])
        Traceback (most recent call last):
        ...
        genret.errors.GenretError: codes: found dtype float64, expected integers
        """
        array, counts = check_codes(codes, codes_per_level)
        ids = _ids.check_ids(item_ids, array.shape[0])
        return cls.from_arrays(build_arrays(array, counts), counts, ids)

    @classmethod
    def from_arrays(
        cls, arrays: TrieArrays, codes_per_level: tuple[int, ...], item_ids: np.ndarray | None
    ) -> "TrieIndex":
        """Put the arrays of a trie on the default device; for arrays known to be right."""
        return cls(
            edge_codes=tuple(jnp.asarray(codes) for codes in arrays.edge_codes),
            pointers=tuple(jax.tree.map(jnp.asarray, p) for p in arrays.pointers),
            leaves=jax.tree.map(jnp.asarray, arrays.leaves),
            rows=jnp.asarray(arrays.rows),
            codes_per_level=codes_per_level,
            widths=tuple(width_of(p.widest()) for p in arrays.pointers),
            leaf_width=width_of(arrays.leaves.widest()),
            item_ids=item_ids,
        )

    # Shape

    @property
    def num_items(self) -> int:
        """Items of the catalogue, N."""
        return self.rows.shape[0]

    @property
    def depth(self) -> int:
        """Codes of an item, L."""
        return len(self.codes_per_level)

    @property
    def num_nodes(self) -> tuple[int, ...]:
        """Nodes of each level, [L + 1]: the root first, the leaves last."""
        return (1, *(codes.shape[0] for codes in self.edge_codes))

    @property
    def nbytes(self) -> int:
        """Bytes of the index's arrays on the device."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self))

    # Lookups, on the device

    def children(
        self, level: int, nodes: Int[Array, "*shape"]
    ) -> tuple[Int[Array, "*shape"], Int[Array, "*shape"]]:
        """Return the edges of nodes: those of a node are ``[begin, end)``.

        An edge of level ``l`` is at once the number of the child node of level ``l + 1``.

        Args:
          level: level of the nodes, 0 to L - 1.
          nodes: int32, nodes of that level.

        Returns:
          int32 begin and end.
        """
        begin = self.pointers[level].begin
        return begin(nodes), begin(nodes + 1)

    def codes_at(self, level: int, edges: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Return the codes of edges, int32; edges past the last one give the code of the last."""
        return self.edge_codes[level].at[edges].get(mode="clip").astype(jnp.int32)

    def row_begin(self, level: int, nodes: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """Return the first row below nodes; below the node after the last one: N.

        Args:
          level: level of the nodes, 0 (the root) to L (the leaves).
          nodes: int32, nodes of that level.

        Returns:
          int32 rows.
        """
        for pointers in (*self.pointers[level:], self.leaves):
            nodes = pointers.begin(nodes)
        return nodes

    def row_range(
        self, level: int, nodes: Int[Array, "*shape"]
    ) -> tuple[Int[Array, "*shape"], Int[Array, "*shape"]]:
        """Return the rows below nodes: those of a node are ``[lo, hi)``.

        Args:
          level: level of the nodes, 0 (the root) to L (the leaves).
          nodes: int32, nodes of that level.

        Returns:
          int32 lo and hi.
        """
        return self.row_begin(level, nodes), self.row_begin(level, nodes + 1)

    @functools.cached_property
    def row_of_item(self) -> Int[Array, "N"]:
        """Item position -> row, int32: made on first use, since only exclusions need it."""
        # A value cached while tracing must not be a tracer of that trace, where it need not be.
        with jax.ensure_compile_time_eval():
            positions = jnp.arange(self.num_items, dtype=jnp.int32)
            return jnp.zeros_like(self.rows).at[self.rows].set(positions)

    # Items, on the host

    def ids_of(self, items: Any) -> np.ndarray:
        """Return the ids of items.

        Args:
          items: item positions, any shape; -1 is padding.

        Returns:
          int64 (padding: -1) or objects (strings; padding: None), of the shape of ``items``.
        """
        return _ids.ids_at(self.item_ids, items)

    def positions_of(self, item_ids: Any) -> Int[np.ndarray, "E"]:
        """Return the positions of items by id, int32.

        Raises:
          GenretError: an id that the index does not hold.
        """
        if self.item_ids is None:
            return self._checked_positions(item_ids)
        return _ids.positions(self._position_of_id, item_ids)

    @functools.cached_property
    def _position_of_id(self) -> dict[Any, int]:
        return {item_id: position for position, item_id in enumerate(self.item_ids.tolist())}

    def _checked_positions(self, item_ids: Any) -> Int[np.ndarray, "E"]:
        positions = np.asarray(item_ids).reshape(-1)
        if positions.size and not np.issubdtype(positions.dtype, np.integer):
            raise GenretError(f"item_ids: found dtype {positions.dtype}, expected integers")
        outside = (positions < 0) | (positions >= self.num_items)
        if outside.any():
            found = positions[int(np.argmax(outside))]
            raise GenretError(f"item_ids: no item has the id {found} ({self.num_items} items)")
        return positions.astype(np.int32)

    @functools.cached_property
    def order_checksum(self) -> int:
        """CRC-32 of the order of the items: tells a policy whether it belongs to this index.

        It is -1, unknown, of an index that is an argument of a function being traced.
        """
        if isinstance(self.rows, jax.core.Tracer):
            return -1
        return zlib.crc32(np.ascontiguousarray(self.rows).data)

    # Disk

    def save(self, path: PathLike) -> None:
        """Write the index as an artefact: a folder with a manifest and checksums.

        Args:
          path: the folder; an index that is there is replaced when the new one is whole.

        Raises:
          GenretError: the folder is something else's, or cannot be written.
        """
        _io.save_artifact(path, self._host_arrays(), self.codes_per_level, self.item_ids)

    def write(self, folder: PathLike) -> None:
        """Write the index's files into a folder that a caller turns into an artefact."""
        _io.write_files(folder, self._host_arrays(), self.codes_per_level, self.item_ids)

    @classmethod
    def load(cls, path: PathLike) -> "TrieIndex":
        """Read an index; its checksums and its structure are verified.

        Args:
          path: the artefact's folder.

        Returns:
          The index, its arrays on the default device.

        Raises:
          GenretError: no index there, or a damaged one (the message names the file or the level).
        """
        return cls.from_arrays(*_io.load_artifact(path))

    def _host_arrays(self) -> TrieArrays:
        return TrieArrays(
            edge_codes=[np.asarray(codes) for codes in self.edge_codes],
            pointers=[jax.tree.map(np.asarray, p) for p in self.pointers],
            leaves=jax.tree.map(np.asarray, self.leaves),
            rows=np.asarray(self.rows),
        )
