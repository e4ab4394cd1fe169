"""How many rows may lie in memory, and what the sort on disk may take."""

import os
from pathlib import Path

ROW_BYTES = 72
"""Memory of a row at the height of an ingestion in memory: its columns, their order, their copy."""
_DEFAULT_SHARE, _DEFAULT_MOST = 0.4, 4.0


def sizes(memory_gib: float) -> tuple[int, int]:
    """Return the rows that may lie in memory, and the MiB that a sort on disk may take.

    Args:
      memory_gib: memory for the rows; 0 takes two fifths of what is free, at most 4 GiB.

    >>> sizes(4.5)
    (67108864, 1382)
    """
    gib = memory_gib or min(_DEFAULT_SHARE * free_gib(), _DEFAULT_MOST)
    # What is not the sort's is for the result, 16 bytes an event, and for the ids.
    return int(gib * 2**30 / ROW_BYTES), max(256, int(gib * 1024 * 0.3))


def free_gib() -> float:
    """Return the memory that is free, in GiB; 4 where the system does not say."""
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 2**20
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30 / 2
    except (ValueError, OSError, AttributeError):
        return 4.0
