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

from genret.config import ModelConfig, require
from genret.decoding import beam_search
from genret.models import History, SideFeatures
from genret.typing import Array, Float, Int

DATA, MODEL = "data", "model"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoder:
    """Everything that stays on the devices: what a batch of users is decoded with.

    Attributes:
      model: the model.
      index: the items.
      codes: int32 [N, L], the codes of each item.
      filters: what may be answered; None: every item.
    """

    model: Any
    index: Any
    codes: Any
    filters: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Users:
    """A batch of users.

    Attributes:
      items: int32 [B, T], the newest items of each history, oldest first, right-padded.
      lengths: int32 [B].
      filter_of: int32 [B], the filter of each; None where there are no filters.
      exclude: int32 [B, X], items that each must not be answered, padded with -1; None: none.
    """

    items: Any
    lengths: Any
    filter_of: Any = None
    exclude: Any = None


def decode(
    decoder: Decoder,
    users: Users,
    groups: Int[Array, "_"],
    *,
    k: int,
    beams: int,
    decode_batch: int,
    normalize: str = "level",
) -> tuple[Int[Array, "B k"], Float[Array, "B k"]]:
    """Answer a batch of users, group after group.

    The last bits of a matrix product depend on the shapes of its factors. So that an answer does
    not depend on the size of the batch, users are decoded in groups of one size, in a loop whose
    body is the same program however often it runs; and a batch that is not full costs only the
    groups that hold somebody.

    Args:
      decoder: the model, the index and the filters.
      users: B users, a multiple of ``decode_batch``.
      groups: int32 [1], how many groups to decode; the rest of the answer is padding.
      k: answers of a user.
      beams: M.
      decode_batch: users of a group.
      normalize: over which codes the scores are normalized, as in :func:`beam_search`.

    Returns:
      The items, int32 [B, k], padded with -1, and their scores, float32 [B, k], with -inf.
    """

    def group(number: Array, answers: tuple[Array, Array]) -> tuple[Array, ...]:
        begin = number * decode_batch
        own = jax.tree.map(lambda x: lax.dynamic_slice_in_dim(x, begin, decode_batch), users)
        found = beam_search(
            decoder.model,
            history_of(decoder.codes, own.items, own.lengths),
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

    def put(self, decoder: Decoder) -> Decoder:
        """Put a decoder on the devices: the model split, the rest copied."""
        whole = NamedSharding(self.mesh, P())
        placed = jax.device_put(decoder, whole)
        size = self.mesh.shape.get(MODEL, 1)
        if size == 1:
            return placed

        def split(leaf: Array) -> Array:
            return jax.device_put(leaf, NamedSharding(self.mesh, split_of(leaf.shape, size)))

        return dataclasses.replace(placed, model=jax.tree.map(split, placed.model))

    def split(self, users: Any) -> Any:
        """Give every copy of the model its share of the users (any arrays with a row for each)."""
        return jax.device_put(users, NamedSharding(self.mesh, P(DATA)))

    def compile(
        self,
        decoder: Decoder,
        users: Users,
        *,
        k: int,
        beams: int,
        decode_batch: int,
        normalize: str = "level",
    ) -> jax.stages.Compiled:
        """Compile :func:`decode` for the shapes of a batch; takes (decoder, users, groups [D])."""
        body = functools.partial(
            decode, k=k, beams=beams, decode_batch=decode_batch, normalize=normalize
        )
        if self.copies > 1:
            # Each copy decodes its own users: nothing is asked of the others.
            body = jax.shard_map(
                body,
                mesh=self.mesh,
                in_specs=(P(), P(DATA), P(DATA)),
                out_specs=(P(DATA), P(DATA)),
                axis_names={DATA},
                check_vma=False,
            )
        rows = NamedSharding(self.mesh, P(DATA))
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows), users
        )
        groups = jax.ShapeDtypeStruct((self.copies,), jnp.int32, sharding=rows)
        return jax.jit(body, out_shardings=(rows, rows)).lower(decoder, shapes, groups).compile()


def history_of(
    codes: Int[Array, "N L"], items: Int[Array, "B T"], lengths: Int[Array, "B"]
) -> History:
    """Look up the codes of histories on the device."""
    present = jnp.arange(items.shape[1], dtype=jnp.int32)[None] < lengths[:, None]
    return History(
        codes=codes.at[items].get(mode="clip"),
        lengths=lengths,
        side=SideFeatures(items=jnp.where(present, items, -1)),
    )


def normalization_of(model: Any) -> str:
    """Return over which codes a model's scores are normalized.

    Raises:
      GenretError: a model that reads what histories in files do not tell.
    """
    architecture = getattr(model, "config", ModelConfig())
    for name in ("time_buckets", "user_buckets"):
        count = getattr(architecture, name)
        require(
            count == 0,
            f"model: found {name} {count}, expected 0: scoring gives a model the items alone",
        )
    return architecture.normalize


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
