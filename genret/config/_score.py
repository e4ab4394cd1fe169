"""Configurations of batch scoring: what is computed, and where."""

import dataclasses
import re
from typing import Literal

from genret.config._base import Config, require, require_counts, require_finite

_NAMED = re.compile(r"\s*([A-Za-z_][\w-]*)\s*=(?!=)(.*)", re.DOTALL)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreConfig(Config):
    """What the answers depend on: a folder holds the scores of one such configuration."""

    k: int = 50
    """Items for each user."""
    beams: int = 50
    """Beams of the search; at least k."""
    where: tuple[str, ...] = ()
    """Conditions on items, such as "price < 20", or "cheap=price < 20" to name one. One condition
    holds for every user; of several, --where-column says which."""
    where_column: str | None = None
    """Column with the name of each user's filter (its number from 0 where it has no name); null:
    every item is allowed."""
    exclude_seen: bool = False
    """Forbid the items of the user's own history, inside the beam."""
    most_seen: int = 16384
    """exclude_seen: users with more distinct items than this are rejected."""
    unknown_items: Literal["drop", "reject"] = "drop"
    """Items of a history that the catalog does not have: leave them out, or reject the user."""
    layout: Literal["auto", "lists", "events"] = "auto"
    """A row is a user with a list of items, or an event; auto: lists if the column holds lists."""
    user: str | None = None
    """Column of the user; none finds the usual names."""
    item: str | None = None
    """Column of the history, or of the event's item; none finds the usual names."""
    time: str | None = None
    """events: column of the time; none finds the usual names, and keeps the order of the rows where
    there is no such column. A model that reads the time between events needs it."""
    output: Literal["rows", "lists"] = "rows"
    """A row for each answer (user, rank, item, score), or a row for each user with two lists."""
    history_widths: Literal["auto", "one", "several"] = "auto"
    """Pad every history to the longest that the model sees, with one compiled program; or each to one
    of seven widths, with a program each, which computes less. auto: one where the files have less
    than 4 MiB. Part of the configuration because the last bits of a score depend on it."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the model's activations; bfloat16 is faster on accelerators, and rounds."""
    decode_batch: int = 0
    """Users that are decoded together; 0: 32 on a CPU, 512 elsewhere. Part of the configuration
    because the last bits of a score depend on it."""
    model_parallel: int = 1
    """Devices that share one copy of the model, for models too large for one."""
    chunk_users: int = 32768
    """Users whose histories are read, scored and written together. Part of the configuration because
    a job that was interrupted continues between two such chunks."""

    def __post_init__(self) -> None:
        require_counts(self, "k", "beams", "most_seen", "model_parallel", "chunk_users")
        require_counts(self, "decode_batch", least=0)
        require(self.beams >= self.k, f"beams: found {self.beams}, expected at least k, {self.k}")
        names = [name for name, _ in self.named_filters()]
        twice = sorted({name for name in names if names.count(name) > 1})
        require(not twice, f"where: found the name {twice[:1]} twice, expected different names")
        require(
            len(names) <= 1 or self.where_column is not None,
            f"where: found {len(names)} conditions and no where_column, expected one with them",
        )
        require(
            self.where_column is None or bool(names),
            f"where_column: found {self.where_column!r} and no condition, expected one with it",
        )

    def named_filters(self) -> list[tuple[str, str]]:
        """Return the name and the condition of each filter.

        >>> ScoreConfig(where=("cheap=price < 20", "price == 9"), where_column="p").named_filters()
        [('cheap', 'price < 20'), ('1', 'price == 9')]
        """
        found = []
        for number, text in enumerate(self.where):
            named = _NAMED.fullmatch(text)
            found.append((named[1], named[2].strip()) if named else (str(number), text))
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineConfig(Config):
    """Where and how the job runs; none of this changes the answers."""

    engine: Literal["local", "ray"] = "local"
    """This process with its devices, or a Ray cluster (needs genret[ray])."""
    users_per_batch: int = 0
    """Users that go to the devices at once; 0 chooses by the memory."""
    all_devices: bool = True
    """Split the batch over all local devices; off: use the first."""
    workers: int = 0
    """ray: scorers, each of which loads the model; 0: one for each node that is alive."""
    cpus_per_worker: float = 1.0
    """ray: CPUs that a scorer reserves."""
    gpus_per_worker: float = 0.0
    """ray: GPUs that a scorer reserves."""
    tpus_per_worker: float = 0.0
    """ray: TPU chips that a scorer reserves: all of a host, for one process owns them."""
    ray_address: str | None = None
    """ray: address of the cluster; none: the environment's, or else one on this machine."""

    def __post_init__(self) -> None:
        require_counts(self, "users_per_batch", "workers", least=0)
        require_finite(self, "cpus_per_worker", "gpus_per_worker", "tpus_per_worker")
