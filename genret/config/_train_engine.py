"""Configuration of where a training runs: in this process, or in workers of a Ray cluster."""

import dataclasses
from typing import Literal

from genret.config._base import Config, require, require_counts, require_finite


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainEngineConfig(Config):
    """Where a training runs; what it learns depends on the mesh alone."""

    engine: Literal["local", "ray"] = "local"
    """This process with its devices, or workers of a Ray cluster, placed and restarted by Ray Train
    (needs genret[ray])."""
    workers: int = 1
    """ray: processes that train together on the mesh of all their devices."""
    cpus_per_worker: float = 1.0
    """ray: CPUs that a worker reserves."""
    gpus_per_worker: int = 0
    """ray: GPUs that a worker reserves and trains on."""
    tpus_per_worker: int = 0
    """ray: TPU chips that a worker reserves: all of a host, for one process owns them."""
    tpu_type: str | None = None
    """ray: Ray's name of the TPUs of a slice of several hosts, such as TPU-V5LITEPOD or TPU-V6E."""
    tpu_topology: str | None = None
    """ray: topology of such a slice, such as 4x4."""
    restarts: int = 10
    """ray: times that workers which were lost are started again, from the last checkpoint."""
    ray_address: str | None = None
    """ray: address of the cluster; none: the environment's, or else one on this machine."""

    def __post_init__(self) -> None:
        require_counts(self, "workers")
        require_counts(self, "restarts", "gpus_per_worker", "tpus_per_worker", least=0)
        require_finite(self, "cpus_per_worker")
        require(
            not (self.gpus_per_worker and self.tpus_per_worker),
            f"gpus_per_worker: found {self.gpus_per_worker} with tpus_per_worker = "
            f"{self.tpus_per_worker}, expected one of them",
        )
        slice_ = self.tpu_type, self.tpu_topology
        require(
            (None in slice_) == (slice_ == (None, None))
            and (None in slice_ or self.tpus_per_worker > 0),
            f"tpu_topology: found {self.tpu_topology or 'none'} with tpu_type "
            f"{self.tpu_type or 'none'} and tpus_per_worker = {self.tpus_per_worker}, expected all "
            "three of a slice, or none of them",
        )
        require(
            self.workers == 1 or not self.tpus_per_worker or self.tpu_topology is not None,
            f"tpu_topology: found none with {self.workers} workers, expected that of the slice, "
            "such as 4x4, and its tpu_type",
        )
