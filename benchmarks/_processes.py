"""Measuring in several processes: one process may be fast or slow as a whole.

Where memory lies and which core a thread got is settled once for a process: its rounds agree with
each other, and those of the next process differ from them by more. And whatever ends a process
does not end the run.
"""

import multiprocessing
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def in_own_process(function: Callable[..., T], *args: Any) -> T:
    """Call a function of a module in a fresh process and return what it returns.

    Raises:
      BrokenProcessPool: the process was killed, as for memory.
    """
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(function, *args).result()


def merge(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of a point from those of several processes: medians, and all rounds.

    A method without figures in one process has none. Of shares that should be one (``valid``,
    ``of_exact``) the least counts.

    >>> one = {"floors": {"ms": 1.0}, "methods": {"a": {"rounds_ms": [[1.0]], "valid": 1.0}}}
    >>> two = {"floors": {"ms": 3.0}, "methods": {"a": {"rounds_ms": [[3.0]], "valid": 0.5}}}
    >>> merge([one, two])
    {'floors': {'ms': 2.0}, 'methods': {'a': {'rounds_ms': [[1.0], [3.0]], 'valid': 0.5}}}
    """
    merged: dict[str, Any] = {}
    for name, value in runs[0].items():
        values = [run[name] for run in runs if name in run]
        if isinstance(value, dict):
            failed = [each for each in values if "error" in each]
            merged[name] = failed[0] if failed else merge(values)
        elif name == "rounds_ms":
            merged[name] = [rounds for each in values for rounds in each]
        elif isinstance(value, list):
            merged[name] = [statistics.median(of_all) for of_all in zip(*values, strict=True)]
        elif name in ("valid", "of_exact"):
            merged[name] = min(values)
        elif isinstance(value, str) or value is None or len(set(values)) == 1:
            merged[name] = value
        else:
            merged[name] = statistics.median(values)
    return merged
