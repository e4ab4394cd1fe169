"""Data parallelism: the batch is split over devices, everything else is copied to each."""

from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from genret.config import require
from genret.typing import Array

T = TypeVar("T")


class DataParallel:
    """Placement of arrays on one device or many, for the same program.

    Args:
      devices: the devices; None takes the first local one.
      batch_size: rows of a batch, which the devices must divide.

    Raises:
      GenretError: the devices do not divide the batch.
    """

    def __init__(self, devices: Sequence[jax.Device] | None, batch_size: int) -> None:
        devices = jax.local_devices()[:1] if devices is None else list(devices)
        require(
            batch_size % len(devices) == 0,
            f"batch_size: found {batch_size}, expected a multiple of the {len(devices)} devices",
        )
        mesh = Mesh(np.array(devices), ("data",))
        self.rows = NamedSharding(mesh, PartitionSpec("data"))
        self.copies = NamedSharding(mesh, PartitionSpec())

    def replicate(self, tree: T) -> T:
        """Copy every array of a tree to every device."""
        return jax.device_put(tree, self.copies)

    def split(self, batch: dict[str, np.ndarray]) -> dict[str, Array]:
        """Give every device its share of the rows of a batch."""
        return jax.device_put(batch, self.rows)
