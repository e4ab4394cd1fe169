"""Where arrays lie: on one device, copied to several, or split over a mesh.

On a mesh the rows of a batch are split over the axis ``data``. The parameters and the state of the
optimizer are split over ``data`` too (FSDP): each device keeps a part of each matrix, and collects
the whole of it when a step needs it. Embeddings and MLPs are also split over ``model``, and are
never collected along that axis: each device computes with its part (tensor parallelism).

Sources: Rajbhandari et al., ZeRO, 2020; Shoeybi et al., Megatron-LM, 2019.
"""

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from genret.config import NO_MESH, TrainConfig, mesh_axes, require
from genret.typing import Array

T = TypeVar("T")

DATA, MODEL = "data", "model"

_SPLIT_OVER_MODEL = (
    # Rows of a table are looked up, and their number is seldom divisible: its width is split.
    (re.compile(r"(?<!relative_bias'\]\[')table|frozen_vectors"), 1),
    # The hidden layer of an MLP: columns of the matrices before it, rows of the one after it.
    (re.compile(r"(gate_proj|up_proj|in_proj)'\]\['kernel"), 1),
    (re.compile(r"(down_proj|out_proj)'\]\['kernel"), 0),
)
"""Which axis of a matrix is split over ``model``, by its path; the first match counts."""


def partition_of(
    path: str, shape: tuple[int, ...], sizes: dict[str, int], *, collected: bool = False
) -> PartitionSpec:
    """Return how a parameter, or a moment of the optimizer, is split.

    ``model`` splits the axis that the table of rules says. ``data`` splits the longest axis that is
    left. An axis of the array that the mesh does not divide stays whole, and so do vectors and
    scalars: messages of a few bytes would cost more than they save.

    Args:
      path: path of the parameter, as :func:`jax.tree_util.keystr` spells it.
      shape: its shape.
      sizes: size of each axis of the mesh.
      collected: as the forward pass uses it, whole along ``data``.

    >>> sizes = {"data": 4, "model": 2}
    >>> tuple(partition_of("['mlp']['up_proj']['kernel']", (64, 192), sizes))
    ('data', 'model')
    >>> tuple(partition_of("['mlp']['up_proj']['kernel']", (64, 192), sizes, collected=True))
    (None, 'model')
    >>> tuple(partition_of("['attention']['q_proj']['kernel']", (6, 192), sizes))
    (None, 'data')
    """
    names: list[str | None] = [None] * len(shape)
    if len(shape) < 2:
        return PartitionSpec()
    for pattern, axis in _SPLIT_OVER_MODEL:
        if pattern.search(path):
            if sizes[MODEL] > 1 and shape[axis] % sizes[MODEL] == 0:
                names[axis] = MODEL
            break
    if not collected and sizes[DATA] > 1:
        free = [i for i, n in enumerate(shape) if names[i] is None and n % sizes[DATA] == 0]
        if free:
            names[max(free, key=lambda i: shape[i])] = DATA
    return PartitionSpec(*names)


class Placement:
    """Places arrays on one device, on several that copy the parameters, or on a mesh.

    Args:
      config: its ``mesh``, and the ``batch_size`` that the devices must divide.
      devices: without a mesh, the devices that share each batch; None takes the first local one.

    Raises:
      GenretError: the mesh does not divide the devices, or the devices do not divide the batch.
    """

    def __init__(self, config: TrainConfig, devices: Sequence[jax.Device] | None = None) -> None:
        self.on_mesh = config.mesh != NO_MESH
        require(
            self.on_mesh or jax.process_count() == 1,
            f"mesh: found none in {jax.process_count()} processes, expected a mesh of the devices "
            "of all",
        )
        if self.on_mesh:
            require(
                devices is None,
                f"mesh: found {config.mesh!r} with devices, expected one of both",
            )
            self.mesh = _mesh(config.mesh)
        else:
            chosen = jax.local_devices()[:1] if devices is None else list(devices)
            self.mesh = Mesh(np.array(chosen), (DATA,))
        self.shards = self.mesh.shape[DATA]
        self.multiple_of = self.shards * config.accumulate
        parts = f"the {self.shards} devices"
        if self.on_mesh or config.accumulate > 1:
            parts = (
                f"{self.multiple_of} ({DATA}={self.shards} times accumulate={config.accumulate})"
            )
        require(
            config.batch_size % self.multiple_of == 0,
            f"batch_size: found {config.batch_size}, expected a multiple of {parts}",
        )
        self.rows = NamedSharding(self.mesh, PartitionSpec(DATA))
        self.copies = NamedSharding(self.mesh, PartitionSpec())

    @property
    def own_rows(self) -> tuple[int, int, int]:
        """The rows of a batch that this process lays out: from part, to part, of so many parts."""
        places = self.rows.addressable_devices_indices_map((self.shards,)).values()
        own = sorted({place[0].indices(self.shards)[0] for place in places if place})
        require(
            own == list(range(own[0], own[-1] + 1)),
            f"mesh: the devices of process {jax.process_index()} do not lie side by side along "
            f"{DATA}: found {own}",
        )
        return own[0], own[-1] + 1, self.shards

    def shardings(self, tree: Any, *, collected: bool = False) -> Any:
        """Return how each array of a tree (parameters, a state) lies."""
        if not self.on_mesh:
            return jax.tree.map(lambda _: self.copies, tree)
        sizes = dict(self.mesh.shape)

        def lies(path: Any, leaf: Any) -> NamedSharding:
            spec = partition_of(jax.tree_util.keystr(path), leaf.shape, sizes, collected=collected)
            return NamedSharding(self.mesh, spec)

        return jax.tree_util.tree_map_with_path(lies, tree)

    def put(self, tree: T) -> T:
        """Place parameters, or a state, from this process on all devices."""
        return jax.tree.map(_place, tree, self.shardings(tree))

    def replicate(self, tree: T) -> T:
        """Copy every array of a tree to every device."""
        return jax.tree.map(lambda leaf: _place(leaf, self.copies), tree)

    def split(self, batch: dict[str, np.ndarray]) -> dict[str, Array]:
        """Give every device its share of a batch, of which this process has its own rows."""
        if self.on_mesh:
            return {
                name: jax.make_array_from_process_local_data(self.rows, values)
                for name, values in batch.items()
            }
        return jax.device_put(batch, self.rows)

    def collect(self, params: T) -> T:
        """Inside a step: collect the parts of the parameters along ``data``."""
        if not self.on_mesh:
            return params
        lie = self.shardings(params, collected=True)
        return jax.tree.map(jax.lax.with_sharding_constraint, params, lie)

    def keep_parts(self, tree: T) -> T:
        """Inside a step: leave to each device its part of gradients or of a state."""
        if not self.on_mesh:
            return tree
        return jax.tree.map(jax.lax.with_sharding_constraint, tree, self.shardings(tree))

    def whole(self, tree: T) -> T:
        """Return a tree on one device of this process, for what knows nothing of the mesh."""
        if not self.on_mesh:
            return tree
        copied = jax.jit(lambda x: x, out_shardings=self.copies)(tree)
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), copied)


def _mesh(text: str) -> Mesh:
    """Return the mesh over all devices of all processes, or over the first ones of a process."""
    sizes, devices = mesh_axes(text), jax.devices()
    count, processes = int(np.prod(list(sizes.values()))), jax.process_count()
    if processes > 1:
        require(
            count == len(devices),
            f"mesh: found {text!r}, {count} devices, expected all {len(devices)} devices of the "
            f"{processes} processes",
        )
    require(
        len(devices) % count == 0,
        f"mesh: found {text!r}, {count} devices, expected a divisor of the {len(devices)} "
        f"{devices[0].platform} devices here",
    )
    return jax.make_mesh(
        tuple(sizes.values()),
        tuple(sizes),
        axis_types=(AxisType.Auto,) * len(sizes),
        devices=devices[:count],
    )


def _place(leaf: Any, sharding: NamedSharding) -> Any:
    """Place an array that every process holds as a whole."""
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
