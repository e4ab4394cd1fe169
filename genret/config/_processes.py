"""Configuration of a training in several processes."""

import dataclasses

from genret.config._base import Config, require

FOUND_BY_JAX = "auto"
"""The coordinator of processes that JAX finds by itself."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcessesConfig(Config):
    """Processes that train one model together."""

    coordinator: str | None = None
    """Address HOST:PORT of process 0, if several processes train together on the mesh; auto on TPU
    slices and in SLURM, where JAX finds address and numbers."""
    num_processes: int | None = None
    """How many processes there are."""
    process_id: int | None = None
    """Number of this process, from 0."""
    join_timeout: int = 300
    """Seconds that the processes wait for each other at the start."""

    def __post_init__(self) -> None:
        given = self.num_processes, self.process_id
        require(
            1 <= self.join_timeout <= 86_400,
            f"join_timeout: found {self.join_timeout}, expected 1 to 86400 seconds",
        )
        if self.coordinator in (None, FOUND_BY_JAX):
            require(
                given == (None, None),
                f"coordinator: found {self.coordinator or 'none'} with num_processes or "
                "process_id, expected HOST:PORT with both of them",
            )
            return
        host, port = self.address
        require(
            bool(host) and 0 < port < 2**16,
            f"coordinator: found {self.coordinator!r}, expected HOST:PORT",
        )
        require(
            self.num_processes is not None and self.num_processes >= 1,
            f"num_processes: found {self.num_processes}, expected at least 1",
        )
        require(
            self.process_id is not None and 0 <= self.process_id < (self.num_processes or 0),
            f"process_id: found {self.process_id}, expected 0 to {(self.num_processes or 1) - 1}",
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of process 0; port 0: there is none, or it is no number.

        >>> ProcessesConfig(coordinator="[::1]:80", num_processes=1, process_id=0).address
        ('::1', 80)
        """
        host, _, port = (self.coordinator or "").rpartition(":")
        number = int(port) if port.isdecimal() and port.isascii() and len(port) < 6 else 0
        return host.strip("[]"), number
