"""Configuration of an online service."""

import dataclasses
from typing import Literal

from genret.config._base import Config, require, require_counts, require_finite


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeConfig(Config):
    """An online service that answers from one run."""

    run: str
    """Folder of the run, with its model, as every replica sees it."""
    filters: str | None = None
    """JSON file with the filters that a request may name: {"name": "condition", ...}. It is read at
    the start and by each refresh."""
    k: int = 10
    """Most items of an answer; a request may ask for fewer."""
    beams: int = 50
    """Beams of the search; at least k."""
    exclude_seen: bool = True
    """Forbid the items of the request's own history, inside the beam."""
    unknown_items: Literal["drop", "reject"] = "drop"
    """Items of a history that the catalog does not have: leave them out and count them, or refuse
    the request."""
    most_items: int = 256
    """Longest history of a request; the model reads the newest items, all of them are excluded."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the model's activations."""
    batch_sizes: tuple[int, ...] = ()
    """Numbers of users that are answered together: a batch is padded to the next of them, or to a
    multiple of the largest. Each is compiled at the start. Empty: 1, 8 and 32 on a CPU; 1, 8, 64
    and 512 elsewhere."""
    wait_ms: float = 2.0
    """Longest time that a request waits for others to fill a batch while no batch is computed."""
    queue: int = 128
    """Users who wait at each replica beside the batch that is computed and the next one; further
    requests are answered with status 503."""
    most_users: int = 256
    """Most users that one request may ask for."""
    replicas: int = 1
    """Processes that answer; each has a copy of the model."""
    cpus_per_replica: float = 1.0
    """CPUs that a replica reserves."""
    gpus_per_replica: float = 0.0
    """GPUs that a replica reserves."""
    tpus_per_replica: float = 0.0
    """TPU chips that a replica reserves: all of a host, for one process owns them."""

    def __post_init__(self) -> None:
        require_counts(self, "k", "beams", "most_items", "queue", "most_users", "replicas")
        require_finite(self, "wait_ms", "cpus_per_replica", "gpus_per_replica", "tpus_per_replica")
        require(self.beams >= self.k, f"beams: found {self.beams}, expected at least k, {self.k}")
        require(
            list(self.batch_sizes) == sorted({size for size in self.batch_sizes if size > 0}),
            f"batch_sizes: found {list(self.batch_sizes)}, expected numbers above 0, ascending",
        )
