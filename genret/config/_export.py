"""Configuration of an exported decode."""

import dataclasses

from genret.config._base import Config, require, require_counts

PLATFORMS = ("cpu", "cuda", "tpu", "rocm")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig(Config):
    """Sizes and rules that are fixed in an exported decode."""

    k: int = 10
    """decode: items returned for each user."""
    beams: int = 50
    """decode: beams of the search; at least k."""
    batch: int = 1
    """decode: users per call."""
    history: int = 0
    """decode: history items that a call accepts; 0: 256, or what the model reads if that is more."""
    include_seen: bool = False
    """decode: allow items of the history as answers."""
    exclude: int = 0
    """decode: further items that each user may exclude; 0: none."""
    filters: int = 0
    """decode: filters (a bit for each item) that a call accepts; 0: none."""
    platforms: tuple[str, ...] = ("cpu", "cuda", "tpu")
    """decode: platforms to compile for: cpu, cuda, tpu, rocm."""

    def __post_init__(self) -> None:
        require_counts(self, "k", "batch", "beams")
        require(self.beams >= self.k, f"beams: found {self.beams}, expected at least k, {self.k}")
        require_counts(self, "history", "exclude", "filters", least=0)
        require(
            bool(self.platforms) and set(self.platforms) <= set(PLATFORMS),
            f"platforms: found {list(self.platforms)}, expected some of {', '.join(PLATFORMS)}",
        )
