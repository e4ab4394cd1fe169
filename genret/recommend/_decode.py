"""The compiled decode: a batch of users in groups, each group exactly as if it were alone."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genret.decoding import beam_search
from genret.models import DenseHead, History, SideFeatures
from genret.recommend._fusion import Channel, Prefilled, fused_search
from genret.typing import Array, Float, Int

T = TypeVar("T")

DATA, MODEL = "data", "model"
_SETTINGS = ("jax_enable_x64", "jax_numpy_dtype_promotion", "jax_default_matmul_precision")
"""Settings of JAX's that change the bits of a program."""

_PROGRAMS = 64
"""Compiled programs that a process keeps."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Searcher:
    """A model, and what it reads and is searched in.

    Attributes:
      model: the model; None: the dense head of the searcher before it.
      vectors: of such a head, [N, W]: the vectors of the items, which are the same for all users.
      index: the items, by the codes that the model spells.
      codes: int32 [N, L], the codes of each item that the model reads.
      filters: what may be answered, the last one allows every item; None: no filters.
      max_items: longest history that the model sees.
      normalize: over which codes the scores are normalized, as in :func:`beam_search`.
    """

    model: Any
    index: Any
    codes: Any
    filters: Any = None
    vectors: Any = None
    max_items: int = dataclasses.field(metadata={"static": True})
    normalize: str = dataclasses.field(default="level", metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoder:
    """What stays on the devices: everything that a batch of users is decoded with.

    Attributes:
      searchers: what is searched, at least one; the scores of several are fused.
      weights: float32, one for each searcher.
      fuse: how, as in :func:`genret.recommend.fused_search`.
    """

    searchers: tuple[Searcher, ...]
    weights: Any
    fuse: str = dataclasses.field(default="product", metadata={"static": True})

    @property
    def filters(self) -> Any:
        """What may be answered, by the first searcher; None: no filters."""
        return self.searchers[0].filters

    def with_filters(self, filters: Sequence[Any]) -> "Decoder":
        """Return the decoder with other filters, one stack for each searcher."""
        pairs = zip(self.searchers, filters, strict=True)
        searchers = tuple(dataclasses.replace(each, filters=own) for each, own in pairs)
        return dataclasses.replace(self, searchers=searchers)

    def channels(self, history_of: Callable[[Searcher], History]) -> list[Channel]:
        """Return the searches of a batch of users.

        Args:
          history_of: returns what a searcher reads.
        """
        found: list[Channel] = []
        for each in self.searchers:
            model = each.model
            if model is None:  # its histories are those of the codes: both heads read them once
                codes = found.pop()
                head = DenseHead(model=codes.model, codes=each.codes)
                (first, cache), scores = _prefill_heads(codes.model, codes.history, each.vectors)
                known = Prefilled(model=codes.model, readout=first, cache=cache)
                found.append(dataclasses.replace(codes, model=known))
                model = Prefilled(model=head, readout=scores, cache=None)
            found.append(
                Channel(
                    model=model, history=history_of(each), index=each.index,
                    filters=each.filters, normalize=each.normalize,
                )
            )  # fmt: skip
        return found


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Users:
    """A batch of users.

    Attributes:
      items: int32 [B, T], the newest items of each history, oldest first, right-padded.
      lengths: int32 [B].
      gaps: int32 [B, T], bucket of the time before each item; None for models that do not read it.
      users: int32 [B], bucket of each user; None for models that do not read it.
      filter_of: int32 [B], the filter of each; None where there are no filters.
      exclude: int32 [B, X], items that each must not be answered, padded with -1; None: none.
    """

    items: Any
    lengths: Any
    gaps: Any = None
    users: Any = None
    filter_of: Any = None
    exclude: Any = None

    def newest(self, max_items: int) -> "Users":
        """Return the users with the newest items of their histories alone."""
        width = self.items.shape[1]
        if max_items >= width:
            return self
        gaps = self.gaps
        if gaps is not None:
            gaps, _ = newest_items(gaps, self.lengths, max_items)
        items, lengths = newest_items(self.items, self.lengths, max_items)
        return dataclasses.replace(self, items=items, lengths=lengths, gaps=gaps)


def decode(
    decoder: Decoder,
    users: Users,
    groups: Int[Array, "_"],
    *,
    k: int,
    beams: int,
    group_size: int,
) -> tuple[Int[Array, "B k"], Float[Array, "B k"]]:
    """Answer a batch of users, group after group.

    The last bits of a matrix product depend on the shapes of its factors. So that an answer does
    not depend on the size of the batch, users are decoded in groups of one size, in a loop whose
    body is the same program however often it runs. A batch that is not full costs only the groups
    that hold somebody.

    Args:
      decoder: the models, the indices and the filters.
      users: B users, a multiple of ``group_size``.
      groups: int32 [1], how many groups to decode; the rest of the answer is padding.
      k: answers of a user.
      beams: M.
      group_size: users of a group.

    Returns:
      The items, int32 [B, k], padded with -1, and their scores, float32 [B, k], with -inf.
    """

    def group(number: Array, answers: tuple[Array, Array]) -> tuple[Array, ...]:
        begin = number * group_size
        own = jax.tree.map(lambda x: lax.dynamic_slice_in_dim(x, begin, group_size), users)
        found = search(
            decoder.channels(lambda one: history_of(one.codes, own.newest(one.max_items))),
            decoder.weights,
            k=k,
            beams=beams,
            fuse=decoder.fuse,
            filter_of=own.filter_of,
            exclude=own.exclude,
        )
        return tuple(
            lax.dynamic_update_slice_in_dim(whole, part, begin, 0)
            for whole, part in zip(answers, found, strict=True)
        )

    size = (users.items.shape[0], k)
    nothing = (jnp.full(size, -1, jnp.int32), jnp.full(size, -jnp.inf, jnp.float32))
    return lax.fori_loop(0, groups[0], group, nothing)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Which devices share the users, and which share a model.

    Attributes:
      mesh: devices [data], or [data, model] where several share a model.
    """

    mesh: Mesh

    @classmethod
    def over(cls, devices: Any, model_parallel: int = 1) -> "Placement":
        """Arrange devices: ``model_parallel`` of them hold one copy of the model."""
        arranged = np.array(devices)
        if model_parallel == 1:
            return cls(Mesh(arranged, (DATA,)))
        return cls(Mesh(arranged.reshape(-1, model_parallel), (DATA, MODEL)))

    @property
    def copies(self) -> int:
        """Copies of the model: parts that a batch is split into."""
        return self.mesh.shape[DATA]

    @property
    def share_models(self) -> bool:
        """Whether several devices hold a copy of the model together."""
        return self.mesh.shape.get(MODEL, 1) > 1

    def put(self, decoder: Decoder) -> Decoder:
        """Put a decoder on the devices: the models split, the rest copied."""
        placed = self.copy(decoder)
        if not self.share_models:
            return placed
        size = self.mesh.shape[MODEL]

        def split(leaf: Array) -> Array:
            return jax.device_put(leaf, NamedSharding(self.mesh, split_of(leaf.shape, size)))

        searchers = tuple(
            dataclasses.replace(
                each,
                model=jax.tree.map(split, each.model),
                vectors=jax.tree.map(split, each.vectors),
            )
            for each in placed.searchers
        )
        return dataclasses.replace(placed, searchers=searchers)

    def copy(self, tree: T) -> T:
        """Put a copy of arrays on each of the devices."""
        return jax.device_put(tree, NamedSharding(self.mesh, P()))

    def split(self, users: Any) -> Any:
        """Give every copy of the model its share of the users (any arrays with a row for each).

        A single device gets its arrays from the compiled program itself, which is quicker for a
        batch of one user.
        """
        if self.mesh.size == 1:
            return users
        return jax.device_put(users, NamedSharding(self.mesh, P(DATA)))

    def compile(
        self,
        decoder: Decoder,
        users: Users,
        *,
        k: int,
        beams: int,
        group_size: int,
    ) -> jax.stages.Compiled:
        """Compile :func:`decode` for the shapes of a batch, or find it compiled.

        Returns:
          A program of (leaves of the decoder, users, groups int32 [D]). It takes leaves because
          flattening a model at every call costs as much as a small search.
        """
        leaves, structure = jax.tree.flatten(decoder)
        rows = NamedSharding(self.mesh, P(DATA))
        own, layout = jax.tree.flatten(users)
        return _compiled(
            self,
            structure,
            tuple((x.shape, x.dtype, x.sharding) for x in leaves),
            layout,
            tuple((x.shape, x.dtype, rows) for x in own),
            k,
            beams,
            group_size,
            settings=tuple(getattr(jax.config, name) for name in _SETTINGS),
        )


@functools.lru_cache(maxsize=_PROGRAMS)
def _compiled(
    placement: Placement,
    structure: Any,
    leaves: tuple[Any, ...],
    layout: Any,
    own: tuple[Any, ...],
    k: int,
    beams: int,
    group_size: int,
    *,
    settings: tuple[object, ...],  # they only tell programs apart
) -> jax.stages.Compiled:
    def body(
        parts: list[Array], users: Users, groups: Int[Array, "_"]
    ) -> tuple[Int[Array, "B k"], Float[Array, "B k"]]:
        decoder = jax.tree.unflatten(structure, parts)
        return decode(decoder, users, groups, k=k, beams=beams, group_size=group_size)

    run: Any = body
    if placement.copies > 1:
        # Each copy decodes its own users: nothing is asked of the others.
        run = jax.shard_map(
            body,
            mesh=placement.mesh,
            in_specs=(P(), P(DATA), P(DATA)),
            out_specs=(P(DATA), P(DATA)),
            axis_names={DATA},
            check_vma=False,
        )
    rows = NamedSharding(placement.mesh, P(DATA))
    parts, users = (
        [jax.ShapeDtypeStruct(shape, dtype, sharding=sharding) for shape, dtype, sharding in each]
        for each in (leaves, own)
    )
    groups = jax.ShapeDtypeStruct((placement.copies,), jnp.int32, sharding=rows)
    asked = jax.tree.unflatten(layout, users)
    return jax.jit(run, out_shardings=(rows, rows)).lower(parts, asked, groups).compile()


def search(
    channels: Sequence[Channel],
    weights: Float[Array, "H"],
    *,
    k: int,
    beams: int,
    fuse: str = "product",
    filter_of: Int[Array, "B"] | None = None,
    exclude: Int[Array, "B X"] | None = None,
) -> tuple[Int[Array, "B k"], Float[Array, "B k"]]:
    """Search in the only channel, or fuse the searches of several; see :func:`fused_search`."""
    if len(channels) > 1:
        fused = fused_search(
            channels, weights,
            k=k, beams=beams, fuse=fuse, filter_of=filter_of, exclude=exclude,
        )  # fmt: skip
        return fused.items, fused.scores
    (one,) = channels
    found = beam_search(
        one.model,
        one.history,
        one.index,
        beams=beams,
        normalize=one.normalize,
        filters=one.filters,
        filter_of=filter_of,
        exclude=exclude,
    )
    return found.items[:, :k], found.scores[:, :k]


@jax.jit
def _prefill_heads(model: Any, history: History, vectors: Float[Array, "N W"]) -> Any:
    """Read histories for both heads of a model; compiled also where nothing around it is."""
    return model.prefill_heads(history, vectors)


@jax.jit
def item_vectors(model: Any, codes: Int[Array, "N L"]) -> Float[Array, "N W"]:
    """Return the vectors that the dense head of a model scores items by."""
    return model.item_vectors(codes)


def history_of(codes: Int[Array, "N L"], users: Users) -> History:
    """Look up the codes of histories on the device."""
    present = jnp.arange(users.items.shape[1], dtype=jnp.int32)[None] < users.lengths[:, None]
    side = SideFeatures(
        items=jnp.where(present, users.items, -1),
        gaps=users.gaps,
        users=None if users.users is None else users.users[:, None],
    )
    known = jnp.where(present[..., None], codes.at[users.items].get(mode="clip"), 0)
    return History(codes=known, lengths=users.lengths, side=side)


def newest_items(
    items: Int[Array, "B H"], lengths: Int[Array, "B"], max_items: int
) -> tuple[Int[Array, "B T"], Int[Array, "B"]]:
    """Return the newest items of histories, oldest first, right-padded, and how many they are.

    >>> items, lengths = newest_items(jnp.array([[5, 3, 4], [1, 0, 0]]), jnp.array([3, 1]), 2)
    >>> items.tolist(), lengths.tolist()
    ([[3, 4], [1, 0]], [2, 1])
    """
    read = jnp.minimum(lengths, max_items)
    slots = jnp.arange(max_items, dtype=jnp.int32)[None]
    places = jnp.minimum((lengths - read)[:, None] + slots, items.shape[1] - 1)
    chosen = jnp.take_along_axis(items, places, axis=1)
    return jnp.where(slots < read[:, None], chosen, 0), read


def split_of(shape: tuple[int, ...], size: int) -> P:
    """Return how a parameter is split over the devices of a model: its last axis that they divide.

    >>> tuple(split_of((128, 384), 4)), tuple(split_of((128, 3), 4)), tuple(split_of((3,), 4))
    ((None, 'model'), ('model', None), ())
    """
    for axis in reversed(range(len(shape))):
        if len(shape) > 1 and shape[axis] % size == 0:
            names: list[str | None] = [None] * len(shape)
            names[axis] = MODEL
            return P(*names)
    return P()
