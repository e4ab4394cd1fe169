"""How much memory a device has left, and how much a compiled program takes."""

from pathlib import Path
from typing import Any

import jax

_CPU_SHARE = 1 << 30
"""Bytes that a program may take on a CPU, at most half of what is free."""
_DEVICE_SHARE = 0.9
_EXACT_BYTES = 1 << 28
"""Logits of a level that an exact search holds at a time; its other arrays are about as large."""
_EXACT_USERS = 128
"""Users that an exact search scores at once, where the memory allows."""


def free_bytes(device: jax.Device) -> int:
    """Return the bytes that a program may take on a device."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int((stats["bytes_limit"] - stats.get("bytes_in_use", 0)) * _DEVICE_SHARE)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return _CPU_SHARE
    available = next((int(x.split()[1]) for x in lines if x.startswith("MemAvailable")), 2 << 20)
    return min(_CPU_SHARE, available * 1024 // 2)


def program_bytes(compiled: jax.stages.Compiled, users: int) -> tuple[int, int]:
    """Return the bytes that a program takes on a device whatever the batch, and those of a user.

    Args:
      compiled: the program; the model and the index that it is given are on the device already.
      users: users of its batch on one device.
    """
    memory = compiled.memory_analysis()
    if memory is None:
        return 0, 0
    answers = int(memory.output_size_in_bytes)
    # Histories and answers are there twice: one batch is laid out while another is computed.
    return int(memory.temp_size_in_bytes), -(-4 * answers // users)


def is_out_of_memory(error: Any) -> bool:
    """Say whether an error of the runtime means that memory ran out."""
    text = str(error)
    return "RESOURCE_EXHAUSTED" in text or "out of memory" in text.lower()


def exact_batch(nodes: int, codes: int, users_per_batch: int, users: int) -> int:
    """Return how many users an exact search scores at once, so that its logits fit the memory.

    Args:
      nodes: nodes of the widest level.
      codes: codes of the largest level.
      users_per_batch: the most users; 0 takes the default.
      users: how many there are.

    >>> exact_batch(10_000, 256, 0, users=1_000), exact_batch(10_000_000, 256, 0, users=1_000)
    (26, 1)
    """
    bytes_per_user = 4 * nodes * codes
    return min(
        users_per_batch or _EXACT_USERS, max(1, _EXACT_BYTES // bytes_per_user), max(users, 1)
    )
