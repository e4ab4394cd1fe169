"""The arguments of a search, checked; and which devices share its requests."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, Sharding
from jax.sharding import PartitionSpec as P
from jax.tree_util import PyTreeDef

from genret.decoding.beams import OneTrie, Searched
from genret.decoding.live import TwoTries
from genret.decoding.protocol import History
from genret.decoding.sharded import OnePart, own_part
from genret.errors import GenretError
from genret.index import FilterStack, ItemFilter, LiveIndex, TrieIndex
from genret.index.live import RowOfItem
from genret.index.parts import Parts
from genret.index.sharded import ShardedTrie
from genret.index.trie import Trie
from genret.pytree import register_pytree
from genret.typing import Array, Int

Answer = TypeVar("Answer")

NORMALIZE = ("level", "catalog", "legal")
"""Over which codes the scores of a search may be normalized."""

Integers = Array | np.ndarray | Sequence[object]
"""Integers as a caller may give them; they are checked."""

Filters = ItemFilter | FilterStack | Iterable[ItemFilter]
"""Sets of allowed items as a caller may give them."""


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What the requests of a batch may not be answered, after the checks.

    Attributes:
      filters: the sets of allowed items; None: all that are not removed.
      filter_of: int32 [B], the filter of each request; None where there is no choice.
      exclude: int32 [B, X], item positions that a request must not be answered, padded with -1.
      beams_of: int32 [B], beams of each request; None: M each.
      row_of_item: of the index; where items are excluded.
    """

    filters: FilterStack | None
    filter_of: Int[Array, "B"] | Int[np.ndarray, "B"] | None
    exclude: Int[Array, "B X"] | Int[np.ndarray, "B X"] | None
    beams_of: Int[Array, "B"] | Int[np.ndarray, "B"] | None
    row_of_item: RowOfItem

    @classmethod
    def of(
        cls,
        index: TrieIndex | LiveIndex,
        *,
        filters: Filters | None,
        filter_of: Integers | None,
        exclude: Integers | None,
        beams_of: Integers | None = None,
        beams: int = 0,
        check: bool = False,
    ) -> "Limits":
        """Check what a caller forbids.

        Args:
          index: the index.
          filters: see :func:`genret.beam_search`; so are the others.
          filter_of: the filter of each request.
          exclude: items that a request must not be answered.
          beams_of: beams of each request.
          beams: the most that there may be.
          check: whether to look at values on the device too.
        """
        stack, filter_of = _checked_filters(index, filters, filter_of, check)
        if exclude is not None:
            exclude = _checked_ints("exclude", exclude, 2, -1, _last_position(index), check)
        if beams_of is not None:
            beams_of = _checked_ints("beams_of", beams_of, 1, 0, beams, check)
        return cls(
            filters=stack,
            filter_of=filter_of,
            exclude=exclude,
            beams_of=beams_of,
            row_of_item=None if exclude is None else index.row_of_item,
        )

    def specs(self, *, of_requests: object, shared: object) -> "Limits":
        """Return how each array is split over devices, in the place of the arrays."""
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: (
                leaf.spec
                if isinstance(leaf, Parts)
                else shared
                if path[0].name in ("filters", "row_of_item")
                else of_requests
            ),
            self,
            is_leaf=lambda leaf: isinstance(leaf, Parts),
        )

    def searched(self, index: TrieIndex | LiveIndex, batch: int) -> Searched:
        """Return what a search of ``batch`` requests walks.

        Raises:
          GenretError: an argument is of another number of requests.
        """
        for name in ("filter_of", "exclude", "beams_of"):
            value = getattr(self, name)
            if value is not None and value.shape[0] != batch:
                raise GenretError(
                    f"{name}: found {value.shape[0]} requests, the history has {batch}"
                )
        if self.filter_of is None:
            filter_of = jnp.zeros((batch,), jnp.int32)  # the only one
        else:
            filter_of = jnp.asarray(self.filter_of)
        exclude = None if self.exclude is None else jnp.asarray(self.exclude)
        return searched_of(index, self.filters, filter_of, exclude, self.row_of_item)


def check_normalize(normalize: object) -> None:
    """Refuse what is no way to normalize."""
    if normalize not in NORMALIZE:
        raise GenretError(f"normalize: found {normalize!r}, expected one of {', '.join(NORMALIZE)}")


def check_count(name: str, count: object) -> None:
    """Refuse what is no number of beams or ranks."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise GenretError(f"{name}: found {count!r}, expected an integer of at least 1")


def _last_position(index: TrieIndex | LiveIndex) -> int:
    trie = trie_of(index)
    if not isinstance(trie.num_rows, jax.core.Tracer) and index.version is not None:
        return index.num_items - 1
    # On the device nobody says how many items there are; what is past them excludes nothing.
    return trie.layout.rows + getattr(index, "insert_capacity", 0) - 1


def _checked_filters(
    index: TrieIndex | LiveIndex,
    filters: Filters | None,
    filter_of: Integers | None,
    check: bool,
) -> tuple[FilterStack | None, Array | np.ndarray | None]:
    """Stack the filters and check which of them each request chooses."""
    if filters is None:
        if filter_of is not None:
            raise GenretError("filter_of: found, but no filters")
        return None, None
    if isinstance(filters, ItemFilter):
        filters = [filters]
    stack = filters if isinstance(filters, FilterStack) else FilterStack.of(index, filters)
    stack.check_index(index)
    size = stack.capacity if stack.size < 0 else stack.size
    if filter_of is None:
        if size != 1:
            raise GenretError(f"filter_of: left out, expected one number a request: {size} filters")
        return stack, None
    return stack, _checked_ints("filter_of", filter_of, 1, 0, size - 1, check)


def _checked_ints(
    name: str, values: Integers, ndim: int, least: int, most: int, check: bool
) -> Array | np.ndarray:
    """Return an argument as int32 after checking its shape, type and range."""
    on_device = isinstance(values, jax.Array)
    try:
        array = values if isinstance(values, jax.Array) else np.asarray(values)
    except ValueError as e:
        raise GenretError(f"{name}: rows of different lengths, pad them with -1 ({e})") from e
    if array.ndim != ndim or not (np.issubdtype(array.dtype, np.integer) or array.size == 0):
        raise GenretError(
            f"{name}: found {array.dtype} {array.shape}, "
            f"expected integers {'[B]' if ndim == 1 else '[B, X]'}"
        )
    # Reading an array back from the device waits for whatever computes it.
    if array.size and not isinstance(array, jax.core.Tracer) and (check or not on_device):
        low, high = int(array.min()), int(array.max())
        if low < least or high > most:
            raise GenretError(
                f"{name}: found {low if low < least else high}, expected {least} to {most}"
            )
    return array.astype(np.int32)


# Devices


@dataclasses.dataclass(frozen=True)
class DataAxis:
    """The axes of a mesh over which the requests of a batch and the items of an index are split.

    Attributes:
      mesh: the devices.
      names: of the axes for the requests; may be empty.
      items: name of the axis for the parts of the index; None: each device has all of it.
    """

    mesh: Mesh | AbstractMesh
    names: tuple[str, ...]
    items: str | None = None

    @classmethod
    def of(
        cls, history: History, mesh: Mesh | None, index: TrieIndex | LiveIndex
    ) -> "DataAxis | None":
        """Return the axes over which a search is split; None: it is not.

        Args:
          history: the histories of a batch.
          mesh: split over its first axis, whatever the history says; None: as the history is.
          index: the items.

        Raises:
          GenretError: requests that are split over other devices than the index, or over its axis.
        """
        requests, trie = cls._of_requests(history, mesh), trie_of(index)
        if not isinstance(trie, ShardedTrie):
            return requests
        own, axis = trie.parts.mesh, trie.parts.axis
        if requests is None:
            return cls(own, (), axis)
        if axis in requests.names or requests.mesh.shape != own.shape:
            raise GenretError(
                f"history: found split over {', '.join(requests.names)} of "
                f"{dict(requests.mesh.shape)}, expected over other axes than {axis!r} of the "
                f"index's {dict(own.shape)}"
            )
        return cls(own, requests.names, axis)

    @classmethod
    def _of_requests(cls, history: History, mesh: Mesh | None) -> "DataAxis | None":
        if mesh is not None:
            return cls(mesh, (mesh.axis_names[0],))
        for leaf in jax.tree.leaves(history):
            if isinstance(leaf, jax.Array):
                names, sharding = _names_of_rows(leaf), _sharding_of(leaf)
                if names and isinstance(sharding, NamedSharding):
                    return cls(sharding.mesh, names)
        return None

    def specs(self, history: History, mesh_given: bool) -> tuple[PyTreeDef, tuple[object, ...]]:
        """Return the structure of a history, and how each array is split: by its first axis or not."""

        def spec(leaf: object) -> object:
            if mesh_given:
                return P(self.names) if getattr(leaf, "ndim", 0) else P()
            split = isinstance(leaf, jax.Array) and _names_of_rows(leaf) == self.names
            return P(self.names) if split else P()

        leaves, structure = jax.tree.flatten(history)
        return structure, tuple(map(spec, leaves))

    @property
    def rows(self) -> P:
        """How an array [B, …] of the requests is split."""
        return P(self.names) if self.names else P()

    def each(
        self, search: Callable[..., Answer], specs: tuple[object, ...]
    ) -> Callable[..., Answer]:
        """Return a function that lets every device search for the requests that it has.

        Requests are independent of each other, so nothing is asked of the devices of other
        requests: a loop ends, and a branch is taken, when the device's own are ready for it.

        Args:
          search: of the arguments; returns a pytree of arrays [B, …].
          specs: how each argument is split.
        """
        return jax.shard_map(
            search,
            mesh=self.mesh,
            in_specs=specs,
            out_specs=self.rows,
            axis_names={*self.names, *([self.items] if self.items else [])},
            check_vma=False,
        )


def _names_of_rows(leaf: Array) -> tuple[str, ...]:
    """Return the axes of more than one device over which an array's first axis is split."""
    sharding = _sharding_of(leaf)
    if not isinstance(sharding, NamedSharding) or not sharding.spec or not leaf.ndim:
        return ()
    first = sharding.spec[0]
    names = (first,) if isinstance(first, str) else tuple(first or ())
    return names if any(sharding.mesh.shape[name] > 1 for name in names) else ()


def _sharding_of(leaf: Array) -> Sharding:
    """Return how an array is sharded; of a traced one, what its type says of explicit axes."""
    return jax.typeof(leaf).sharding if isinstance(leaf, jax.core.Tracer) else leaf.sharding


def searched_of(
    index: TrieIndex | LiveIndex,
    filters: FilterStack | None,
    filter_of: Int[Array, "B"] | None,
    exclude: Int[Array, "B X"] | None,
    row_of_item: RowOfItem,
) -> Searched:
    """Return what a search walks: the items of an index and what the requests may not be answered.

    Args:
      index: the index; one in parts inside of :func:`jax.shard_map`, where each device has its own.
      filters: the filters; None allows all items.
      filter_of: the filter of each request.
      exclude: item positions that a request must not be answered.
      row_of_item: of the index; needed where items are excluded.
    """
    first_rows, second_rows = row_of_item if isinstance(row_of_item, tuple) else (row_of_item, None)
    inserted, trie = None, trie_of(index)
    if isinstance(index, LiveIndex):
        inserted = index.inserted
        filters = index.allowed if filters is None else filters
    rows = None if filters is None else filters.rows
    first = own_part(trie, rows, filter_of, exclude, first_rows)
    own: OneTrie | TwoTries = first
    if inserted is not None:
        assert filters is not None
        # Positions go on from the first trie's.
        local = None if exclude is None else exclude - trie.num_rows
        second = inserted.restricted(filters.inserted, filter_of, local, second_rows)
        own = TwoTries(first=first, second=OneTrie(trie=inserted, restriction=second))
    return OnePart.of(own, trie) if isinstance(trie, ShardedTrie) else own


def trie_of(index: TrieIndex | LiveIndex) -> Trie | ShardedTrie:
    """Return the trie of an index that was built."""
    return index.trie if isinstance(index, TrieIndex) else index.base.trie
