"""TrieIndex: the constraint index of a catalog, a pytree that a beam search walks."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from genret import item_ids as ids
from genret.errors import GenretError
from genret.index import io
from genret.index.accelerated import PLATFORMS, accelerated
from genret.index.build import DEFAULT_RULES, build_trie
from genret.index.filter import FilteredIndex
from genret.index.layout import LayoutRules
from genret.index.parts import Parts
from genret.index.restriction import AllowedRows
from genret.index.sharded import ShardedTrie, check_axis
from genret.index.trie import Trie
from genret.pytree import host_field, register_pytree, static_field
from genret.semantic_ids import SemanticIds
from genret.typing import Array, Bool, Int, PathLike


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrieIndex(FilteredIndex):
    """The valid semantic IDs of a catalog, as a trie that a beam search walks on the device.

    The unique semantic IDs are sorted and the nodes of each level are numbered in that order
    (level 0 has the root alone). Then the edges of level ``l``, in order, *are* the nodes of level
    ``l + 1``: a level stores the codes of its edges and, one bit a row, where edges start; it
    stores neither child ids nor row pointers. Items sorted by semantic ID (then by position) are
    the *rows*; the items below a node are a range of rows.

    An item's *position* is its row in the ``codes`` that the index was built from. The index never
    changes; :class:`LiveIndex` is one whose items come and go.

    The index is a pytree: its arrays are leaves, and what is on the host stays there. An index that
    has been through a JAX transformation has no item ids.

    Attributes:
      trie: the arrays; after :meth:`shard`, in parts.
      codes_per_level: codes of each level.
      end_code: the code that ends a semantic ID before the last level; None: there is none.
      rows: the row of each item, int32 by position, where :meth:`with_rows` made them.
      item_ids: int64 [N] or strings [N] on the host, by position; None: ids are positions.
      version: differs between indices, on the host.

    >>> index = TrieIndex.from_codes([[3, 1], [0, 2], [3, 0], [0, 2]], ["a", "b", "c", "d"])
    >>> index.num_items, index.depth, index.num_nodes
    (4, 2, (1, 2, 3))
    >>> index.codes_after(()), index.ids_of(index.items_below((0,))).tolist()
    ([0, 3], ['b', 'd'])
    """

    trie: Trie | ShardedTrie
    codes_per_level: tuple[int, ...] = static_field()
    end_code: int | None = static_field()
    rows: Int[Array, "N"] | Parts[Array] | None = None
    item_ids: np.ndarray | None = host_field()
    version: object = host_field()

    @classmethod
    def from_codes(
        cls,
        codes: object,
        item_ids: object = None,
        *,
        codes_per_level: Sequence[object] | np.ndarray | None = None,
        end_code: int | None = None,
        like: "TrieIndex | None" = None,
        reserve: float = 0.0,
        rules: LayoutRules = DEFAULT_RULES,
    ) -> "TrieIndex":
        """Build the index of a catalog.

        Args:
          codes: integers [N, L], one row an item, in any order; items may share a row. Or a
            :class:`SemanticIds`, which has the next three arguments already.
          item_ids: N distinct integers or strings; None takes the positions 0 to N - 1.
          codes_per_level: L counts of codes; None takes the largest code of each level + 1.
          end_code: the code that ends a semantic ID of fewer than L codes. What stands behind it
            is padding; the search asks the model for the end code, and then for nothing more.
          like: an index that this one replaces. Where the catalog fits the room of that one, the
            new index runs in the same compiled programs.
          reserve: room to leave for later catalogs, as a share of this one.
          rules: which way to store a level is chosen by.

        Returns:
          The index, its arrays on the default device.

        Raises:
          GenretError: codes that are empty, ragged, no integers, negative or out of range; ids of
            another number, of mixed types, or that occur twice; ``like`` an index of other levels.

        >>> TrieIndex.from_codes([[0.5, 1.0]])
        Traceback (most recent call last):
        ...
        genret.errors.GenretError: codes: found dtype float64, expected integers
        """
        if like is not None and codes_per_level is None:
            codes_per_level = like.codes_per_level
        items = SemanticIds.from_codes(
            codes, item_ids, codes_per_level=codes_per_level, end_code=end_code
        )
        if not isinstance(reserve, int | float) or not 0 <= reserve <= 16:
            raise GenretError(f"reserve: found {reserve!r}, expected a share of 0 to 16")
        counts, end_code = items.codes_per_level, items.end_code
        if like is not None and (like.codes_per_level, like.end_code) != (counts, end_code):
            raise GenretError(
                f"like: found an index of {like.codes_per_level} codes (end code {like.end_code}), "
                f"expected {counts} (end code {end_code})"
            )
        layout = None if like is None else like.trie.layout
        trie = build_trie(items.codes, counts, like=layout, reserve=reserve, rules=rules)
        index = cls.of_trie(trie, counts, end_code, items.item_ids)
        if like is not None and isinstance(like.trie, ShardedTrie):
            parts = like.trie.parts
            sharded = ShardedTrie.of(trie, counts, parts.mesh, parts.axis, rules, like.trie)
            return index._in_parts(sharded)
        if like is not None and like.trie.accelerated is not None:
            return index.to(like.trie.accelerated.platform)
        return index.to(_platform())

    @classmethod
    def from_batches(
        cls,
        batches: Iterable[object],
        item_ids: object = None,
        *,
        codes_per_level: Sequence[object] | np.ndarray | None = None,
        end_code: int | None = None,
        like: "TrieIndex | None" = None,
        reserve: float = 0.0,
    ) -> "TrieIndex":
        """Build the index of a catalog whose codes come in batches.

        Each batch is stored in the smallest type that holds its codes before the next is asked for.

        Args:
          batches: arrays of integers [n, L], one after the other.
          item_ids: as in :meth:`from_codes`; so are the other arguments.
          codes_per_level: codes of each level.
          end_code: the code that ends a semantic ID.
          like: an index that this one replaces.
          reserve: room to leave for later catalogs.

        Returns:
          The index.

        Raises:
          GenretError: as :meth:`from_codes`; batches of different L.
        """
        if like is not None and codes_per_level is None:
            codes_per_level = like.codes_per_level
        items = SemanticIds.from_batches(
            batches, item_ids, codes_per_level=codes_per_level, end_code=end_code
        )
        return cls.from_codes(items, like=like, reserve=reserve)

    @classmethod
    def of_trie(
        cls,
        trie: Trie,
        codes_per_level: tuple[int, ...],
        end_code: int | None,
        item_ids: np.ndarray | None,
    ) -> "TrieIndex":
        """Make an index of a trie that is known to be right."""
        return cls(
            trie=trie,
            codes_per_level=codes_per_level,
            end_code=end_code,
            item_ids=item_ids,
            version=object(),
        )

    def to(self, platform: str) -> "TrieIndex":
        """Return the same index with the arrays that a platform's search reads.

        Where JAX's default backend is a TPU, an index is made ready for it when it is built or loaded.
        So this is needed only for another platform: for an NVIDIA GPU, or to compile for a TPU that
        is not there.

        Args:
          platform: "cpu", "gpu" or "tpu".

        Raises:
          GenretError: another platform.
        """
        if platform not in PLATFORMS:
            raise GenretError(
                f"platform: found {platform!r}, expected one of {', '.join(PLATFORMS)}"
            )
        trie = self.whole_trie("to")
        layout = None
        if platform != "cpu":
            layout = accelerated(platform, trie.levels, self.num_items, trie.layout.rows)
        return dataclasses.replace(self, trie=dataclasses.replace(trie, accelerated=layout))

    def shard(self, mesh: Mesh, axis: str, *, rules: LayoutRules = DEFAULT_RULES) -> "TrieIndex":
        """Return the same index in parts on several devices, for a catalog that does not fit one.

        The items, sorted by semantic ID, are cut into ranges of equal size, one for each device
        along the axis. A search asks every device for the best children in its own part and merges
        them, one all-gather of M candidates a device and level; the answers are those of the whole
        index. Filters, exclusions and :class:`LiveIndex` work as on the whole one.

        The arrays of this index stay where they are until it is dropped. Build one that no device
        can hold under ``jax.default_device(jax.devices("cpu")[0])``.

        Args:
          mesh: the devices.
          axis: the mesh axis over which the items are split. Replicate the model over it.
          rules: which way to store a level is chosen by.

        Returns:
          The index. It cannot be saved, and searches normalize over the codes of a level.

        Raises:
          GenretError: no such axis; an index that is in parts already.

        >>> mesh = jax.make_mesh((jax.device_count(),), ("items",))
        >>> index = TrieIndex.from_codes([[3, 1], [0, 2], [3, 0]]).shard(mesh, "items")
        >>> index.num_items, index.codes_after((3,))
        (3, [0, 1])
        """
        check_axis(mesh, axis)
        trie = self.whole_trie("shard")
        return self._in_parts(ShardedTrie.of(trie, self.codes_per_level, mesh, axis, rules))

    def _in_parts(self, trie: ShardedTrie) -> "TrieIndex":
        return dataclasses.replace(self, trie=trie, rows=None, version=object())

    def with_rows(self) -> "TrieIndex":
        """Return the same index, which has the row of each item by position with it.

        A search that excludes items looks their rows up. They are made once for an index, but one
        that is an argument of a compiled function of yours has forgotten them: each call then
        makes them anew, which takes longer than a search of a large catalog. This index is such an
        argument too, and takes 4 bytes an item more. Where positions are rows, nothing changes.

        >>> index = TrieIndex.from_codes([[3, 1], [0, 2], [3, 0]]).with_rows()
        >>> index.rows[:3].tolist()
        [2, 0, 1]
        """
        return dataclasses.replace(self, rows=self.row_of_item)

    def whole_trie(self, caller: str) -> Trie:
        """Return the trie for what needs all of it on one device.

        Args:
          caller: the name of what needs it.

        Raises:
          GenretError: the index is in parts.
        """
        if isinstance(self.trie, ShardedTrie):
            raise GenretError(
                f"{caller}: found an index in {self.trie.parts.size} parts on several devices, "
                "expected the whole one that it was made from"
            )
        return self.trie

    # Shape

    @functools.cached_property
    def num_items(self) -> int:
        """Items, N.

        Raises:
          GenretError: the index is an argument of a function that is being traced.
        """
        if isinstance(self.trie.num_rows, jax.core.Tracer):
            raise GenretError("index: is being traced, and then nobody knows its number of items")
        return int(self.trie.num_rows)

    @property
    def depth(self) -> int:
        """Codes of an item, L."""
        return len(self.codes_per_level)

    @property
    def num_nodes(self) -> tuple[int, ...]:
        """Nodes of each level of the trie, [L + 1]: the root first, the leaves last."""
        return self.trie.num_nodes

    @property
    def stored_as(self) -> tuple[str, ...]:
        """How each level is stored and searched, [L]: "single", "dense", "window" or "ragged"."""
        return tuple(level.kind for level in self.trie.levels)

    @property
    def nbytes(self) -> int:
        """Bytes of the index's arrays on the device."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self))

    @functools.cached_property
    def row_of_item(self) -> Int[Array, "N"] | Parts[Array] | None:
        """Row of each item, int32 by position, or the trie's answer in parts; None: they are equal."""
        if self.rows is not None:
            return self.rows
        # A value cached while tracing must not be a tracer of that trace, where it need not be.
        with jax.ensure_compile_time_eval():
            return self.trie.row_of_item()

    # Inspection, on the host

    def codes_after(self, prefix: Sequence[int]) -> list[int]:
        """Return the codes that may follow a prefix, ascending."""
        return self.trie.codes_after(prefix)

    def items_below(self, prefix: Sequence[int]) -> Int[np.ndarray, "N"]:
        """Return the positions of the items below a prefix, in the order of their rows."""
        lo, hi = self.trie.rows_below(prefix)
        return self.trie.positions_by_row[lo:hi]

    def ids_of(self, items: object) -> np.ndarray:
        """Return the ids of items.

        Args:
          items: item positions, any shape; -1 is padding.

        Returns:
          int64 (padding: -1) or objects (strings; padding: None), of the shape of ``items``.
        """
        self._check_ids()
        return ids.ids_at(self.item_ids, items)

    def positions_of(self, item_ids: object) -> Int[np.ndarray, "E"]:
        """Return the positions of items by id, int32.

        Raises:
          GenretError: an id that the index does not hold.
        """
        self._check_ids()
        if self.item_ids is None:
            return ids.check_positions(item_ids, self.num_items)
        return ids.positions(self.position_of_id, item_ids)

    def _check_ids(self) -> None:
        if self.version is None:
            raise GenretError("index: has been through a JAX transformation, which drops its ids")

    @functools.cached_property
    def position_of_id(self) -> dict[int | str, int]:
        """Position of each id; of an index that has ids."""
        assert self.item_ids is not None
        return ids.position_of_id(self.item_ids)

    def codes_of(self, items: object) -> Int[np.ndarray, "*shape L"]:
        """Return the semantic IDs of items by position, on the host: int64 [N, L]."""
        return self._codes_by_position[np.asarray(items)]

    @functools.cached_property
    def _codes_by_position(self) -> Int[np.ndarray, "N L"]:
        codes = np.empty((self.num_items, self.depth), np.int64)
        codes[self.trie.positions_by_row] = self.trie.codes_by_row()
        return codes

    # Filters

    @property
    def catalog_checksum(self) -> int:
        """CRC-32 of the items: tells filters which index they belong to.

        It is -1, unknown, of an index that is an argument of a function being traced.
        """
        return self.trie.checksum

    def allowed_rows(
        self, mask: Bool[np.ndarray, "N"]
    ) -> tuple[AllowedRows | Parts[AllowedRows], None]:
        """Put a set of allowed items on the device.

        Args:
          mask: bool [N], by item position.

        Returns:
          The set, and nothing for inserted items: there are none.
        """
        trie = self.trie
        return trie.allow(mask if trie.positions is None else mask[trie.positions_by_row]), None

    # Disk

    def save(self, path: PathLike) -> None:
        """Write the index as an artifact: a folder with a manifest and checksums.

        Args:
          path: the folder; an index that is there is replaced when the new one is whole.

        Raises:
          GenretError: the folder is something else's, or cannot be written; an index in parts.
        """
        trie = self.whole_trie("save")
        io.save_artifact(path, trie, self.codes_per_level, self.end_code, self.item_ids)

    def write(self, folder: PathLike) -> None:
        """Write the index's files into a folder that a caller turns into an artifact."""
        trie = self.whole_trie("write")
        io.write_files(folder, trie, self.codes_per_level, self.end_code, self.item_ids)

    @classmethod
    def load(cls, path: PathLike) -> "TrieIndex":
        """Read an index; its checksums and its structure are verified.

        Args:
          path: the artifact's folder.

        Returns:
          The index, its arrays on the default device.

        Raises:
          GenretError: no index there, or a damaged one (the message names the file or the level).
        """
        return cls.of_trie(*io.load_artifact(path)).to(_platform())


def _platform() -> str:
    """Return the platform that an index is made ready for, as :meth:`TrieIndex.to` names it.

    That of a GPU has to be asked for: its search has fewer than half of the kernels by the compiler's
    count, but no GPU has run them yet.
    """
    return "tpu" if jax.default_backend() == "tpu" else "cpu"
