"""The compiled decode: a batch of users in groups, each group exactly as if it were alone."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genret.decoding import beam_search
from genret.models import History, SideFeatures
from genret.typing import Array, Float, Int

DATA, MODEL = "data", "model"
_SETTINGS = ("jax_enable_x64", "jax_numpy_dtype_promotion", "jax_default_matmul_precision")
"""Settings of JAX's that change the bits of a program."""

_PROGRAMS = 64
"""Compiled programs that a process keeps."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoder:
    """What stays on the devices: everything that a batch of users is decoded with.

    Attributes:
      model: the model.
      index: the items.
      codes: int32 [N, L], the codes of each item.
      filters: what may be answered, the last one allows every item; None: no filters.
    """

    model: Any
    index: Any
    codes: Any
    filters: Any = None


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


def decode(
    decoder: Decoder,
    users: Users,
    groups: Int[Array, "_"],
    *,
    k: int,
    beams: int,
    group_size: int,
    normalize: str = "level",
) -> tuple[Int[Array, "B k"], Float[Array, "B k"]]:
    """Answer a batch of users, group after group.

    The last bits of a matrix product depend on the shapes of its factors. So that an answer does
    not depend on the size of the batch, users are decoded in groups of one size, in a loop whose
    body is the same program however often it runs. A batch that is not full costs only the groups
    that hold somebody.

    Args:
      decoder: the model, the index and the filters.
      users: B users, a multiple of ``group_size``.
      groups: int32 [1], how many groups to decode; the rest of the answer is padding.
      k: answers of a user.
      beams: M.
      group_size: users of a group.
      normalize: over which codes the scores are normalized, as in :func:`beam_search`.

    Returns:
      The items, int32 [B, k], padded with -1, and their scores, float32 [B, k], with -inf.
    """

    def group(number: Array, answers: tuple[Array, Array]) -> tuple[Array, ...]:
        begin = number * group_size
        own = jax.tree.map(lambda x: lax.dynamic_slice_in_dim(x, begin, group_size), users)
        found = beam_search(
            decoder.model,
            history_of(decoder.codes, own.items, own.lengths, own.gaps, own.users),
            decoder.index,
            beams=beams,
            normalize=normalize,
            filters=decoder.filters,
            filter_of=own.filter_of,
            exclude=own.exclude,
        )
        return tuple(
            lax.dynamic_update_slice_in_dim(whole, part[:, :k], begin, 0)
            for whole, part in zip(answers, (found.items, found.scores), strict=True)
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
        """Put a decoder on the devices: the model split, the rest copied."""
        placed = jax.device_put(decoder, NamedSharding(self.mesh, P()))
        if not self.share_models:
            return placed
        size = self.mesh.shape[MODEL]

        def split(leaf: Array) -> Array:
            return jax.device_put(leaf, NamedSharding(self.mesh, split_of(leaf.shape, size)))

        return dataclasses.replace(placed, model=jax.tree.map(split, placed.model))

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
        normalize: str = "level",
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
            normalize,
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
    normalize: str,
    *,
    settings: tuple[object, ...],  # they only tell programs apart
) -> jax.stages.Compiled:
    def body(
        parts: list[Array], users: Users, groups: Int[Array, "_"]
    ) -> tuple[Int[Array, "B k"], Float[Array, "B k"]]:
        decoder = jax.tree.unflatten(structure, parts)
        return decode(
            decoder, users, groups,
            k=k, beams=beams, group_size=group_size, normalize=normalize,
        )  # fmt: skip

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


def history_of(
    codes: Int[Array, "N L"],
    items: Int[Array, "B T"],
    lengths: Int[Array, "B"],
    gaps: Int[Array, "B T"] | None = None,
    users: Int[Array, "B"] | None = None,
) -> History:
    """Look up the codes of histories on the device."""
    present = jnp.arange(items.shape[1], dtype=jnp.int32)[None] < lengths[:, None]
    side = SideFeatures(
        items=jnp.where(present, items, -1),
        gaps=gaps,
        users=None if users is None else users[:, None],
    )
    known = jnp.where(present[..., None], codes.at[items].get(mode="clip"), 0)
    return History(codes=known, lengths=lengths, side=side)


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
