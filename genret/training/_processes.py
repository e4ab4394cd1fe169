"""Processes that train one model together: they join, agree, share, and part."""

import atexit
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from genret.config import FOUND_BY_JAX, ProcessesConfig
from genret.errors import GenretError
from genret.training._rendezvous import meet


class LostProcessError(GenretError):
    """Another process ended: the same training, started again, goes on from the last checkpoint."""


_STATUS: dict[type[BaseException], int] = {
    GenretError: 2,
    LostProcessError: 2,
    KeyboardInterrupt: 130,
}
"""Exit status after an exception, as the command line sets it; others may say their own."""

_HEARTBEAT = 100
"""Seconds without a word after which JAX takes a process for lost."""


@contextlib.contextmanager
def joined(config: ProcessesConfig) -> Iterator[None]:
    """Join the other processes for the length of the block; nothing happens without a coordinator.

    It has to come before anything asks JAX for devices.

    Args:
      config: where the processes meet.

    Raises:
      GenretError: some of them do not come, or they differ on how many there are.
    """
    if config.coordinator is None:
        yield
        return
    options: dict[str, Any] = {"initialization_timeout": config.join_timeout}
    if config.coordinator != FOUND_BY_JAX:
        assert config.num_processes is not None
        assert config.process_id is not None
        meet(config.address, config.num_processes, config.process_id, float(config.join_timeout))
        options["coordinator_address"] = config.coordinator
        options["num_processes"] = config.num_processes
        options["process_id"] = config.process_id
    try:
        jax.distributed.initialize(**options, heartbeat_timeout_seconds=_HEARTBEAT)
    except (RuntimeError, ValueError) as e:
        raise LostProcessError(f"coordinator: JAX cannot join: {str(e).splitlines()[0]}") from e
    try:
        with _libraries_print_on_stderr():
            yield
    except BaseException as error:
        # JAX's farewell waits for all processes, of which some may be dead.
        status = _STATUS.get(type(error), getattr(error, "exit_status", 1))
        atexit.register(_leave, status, wait=jax.process_index() == 0)
        raise
    jax.distributed.shutdown()


@contextlib.contextmanager
def _libraries_print_on_stderr() -> Iterator[None]:
    """Keep standard output for what Python prints: Gloo greets there, between two lines of JSON."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with (
            os.fdopen(os.dup(kept), "w", encoding=sys.stdout.encoding) as ours,
            contextlib.redirect_stdout(ours),
        ):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _leave(status: int, *, wait: bool) -> None:
    """End this process without JAX's farewell; process 0, whose end ends the others, comes last."""
    sys.stdout.flush()
    sys.stderr.flush()
    if wait:
        time.sleep(1)
    os._exit(status)


def is_first() -> bool:
    """Say whether this process is the one that writes: process 0, or the only one."""
    return jax.process_index() == 0


def agree(values: Mapping[str, Any]) -> None:
    """Check that all processes were started alike.

    Args:
      values: what they must agree on, JSON values by name.

    Raises:
      GenretError: in all processes: the first that differs from process 0, and where.
    """
    first, *others = (json.loads(text) for text in _gathered(json.dumps(dict(values))))
    for number, other in enumerate(others, start=1):
        for name in first | other:
            if first.get(name) != other.get(name):
                raise GenretError(
                    f"process {number}: found {name} = {other.get(name)!r}, expected "
                    f"{first.get(name)!r} as process 0 has; start all processes with the same "
                    "options and data"
                )


def from_first(value: Any) -> Any:
    """Return a JSON value of process 0 in all processes."""
    return json.loads(_gathered(json.dumps(value))[0]) if jax.process_count() > 1 else value


def wait_for_all(what: str) -> None:
    """Return when all processes have come this far; ``what`` names the place."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


@contextlib.contextmanager
def named_if_lost() -> Iterator[None]:
    """Say in one line that another process is gone, whose messages then fail.

    Raises:
      LostProcessError: a message between the processes failed.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as e:
        of_messages = isinstance(e, RuntimeError) or "gloo" in str(e).lower()
        if jax.process_count() == 1 or not of_messages:
            raise
        raise LostProcessError(
            f"training: another process ended ({' '.join(str(e).split())[:200]}); start all "
            "processes again to go on from the last checkpoint"
        ) from e


def _gathered(text: str) -> list[str]:
    """Return the text of each process, in their order."""
    if jax.process_count() == 1:
        return [text]
    own = np.frombuffer(text.encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.array([own.size], np.int32))[:, 0]
    padded = np.pad(own, (0, int(sizes.max()) - own.size))
    every = multihost_utils.process_allgather(padded)
    return [bytes(row[:size]).decode() for row, size in zip(every, sizes, strict=True)]
