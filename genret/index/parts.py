"""Trees of arrays of which each device along an axis of a mesh has a part."""

import dataclasses
from collections.abc import Iterable
from typing import Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genret.errors import GenretError
from genret.pytree import register_pytree, static_field
from genret.typing import Array

Tree = TypeVar("Tree")


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts(Generic[Tree]):
    """Trees of equal shapes, one for each device along an axis of a mesh, stacked.

    Attributes:
      stacked: the tree; its arrays have one axis more than those of a part.
      mesh: the devices.
      axis: the mesh axis whose devices have a part each.
      at: the axis of the arrays that counts the parts.
    """

    stacked: Tree
    mesh: Mesh = static_field()
    axis: str = static_field()
    at: int = static_field()

    @classmethod
    def of(cls, parts: Iterable[Tree], mesh: Mesh, axis: str, at: int = 0) -> "Parts[Tree]":
        """Put parts on their devices; of all, one at a time is on the default device.

        Args:
          parts: as many trees as the axis has devices, all of one structure.
          mesh: the devices.
          axis: one of the mesh's axes.
          at: the axis of the arrays that is to count the parts.
        """
        mesh = Mesh(mesh.devices, mesh.axis_names)  # no explicit axes: arrays are as any others
        size = mesh.shape[axis]
        devices = np.moveaxis(mesh.devices, mesh.axis_names.index(axis), 0).reshape(size, -1)
        held: dict[int, list[Array]] = {}
        for part, own in zip(parts, devices, strict=True):
            leaves, structure = jax.tree.flatten(part)
            for number, leaf in enumerate(leaves):
                one = jnp.expand_dims(leaf, at)
                here = [device for device in own if device.process_index == jax.process_index()]
                held.setdefault(number, []).extend(jax.device_put(one, x) for x in here)
        sharding = NamedSharding(mesh, P(*[None] * at, axis))
        stacked = [
            jax.make_array_from_single_device_arrays(
                (*arrays[0].shape[:at], size, *arrays[0].shape[at + 1 :]), sharding, arrays
            )
            for arrays in held.values()
        ]
        return cls(stacked=jax.tree.unflatten(structure, stacked), mesh=mesh, axis=axis, at=at)

    @property
    def size(self) -> int:
        """The number of parts, n."""
        return self.mesh.shape[self.axis]

    @property
    def spec(self) -> P:
        """How the arrays are split over the mesh."""
        return P(*[None] * self.at, self.axis)

    def own(self) -> Tree:
        """Return the part of the device that runs this, inside of :func:`jax.shard_map`."""
        return jax.tree.map(lambda array: jnp.squeeze(array, self.at), self.stacked)

    def on_host(self, number: int) -> Tree:
        """Return a part as arrays of NumPy: views where the device is a CPU.

        Raises:
          GenretError: no device of this process has it.
        """

        def view(array: Array) -> np.ndarray:
            for shard in array.addressable_shards:
                if (shard.index[self.at].start or 0) == number:
                    return np.asarray(shard.data).squeeze(self.at)
            raise GenretError(f"index: part {number} of {self.size} is on another process")

        return jax.tree.map(view, self.stacked)


def specs_of(tree: Tree) -> Tree:
    """Return how each array of a tree is split: those of :class:`Parts` are, others are whole."""
    return jax.tree.map(
        lambda leaf: leaf.spec if isinstance(leaf, Parts) else P(),
        tree,
        is_leaf=lambda leaf: isinstance(leaf, Parts),
    )
