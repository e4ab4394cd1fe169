"""The timer: rounds that alternate between the functions, and what is made of them."""

import collections
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.process import Figures

COUNTED = {
    "/jax/core/compile/jaxpr_trace_duration": "traced",
    "/jax/core/compile/backend_compile_duration": "compiled",
}


def interleave(
    functions: Mapping[str, Callable[[], Any]],
    repeats: int,
    *,
    warm: int = 2,
    seconds_each: float = float("inf"),
    before: Mapping[str, Callable[[], Any]] | None = None,
) -> dict[str, Figures]:
    """Time functions round-robin, so that drift of the machine affects all equally.

    Args:
      functions: what to time; what each returns is waited for.
      repeats: rounds.
      warm: untimed runs of each at the start; the time of the first is kept as ``first_s``.
      seconds_each: a function whose rounds took so long together is not timed again, once it has three.
      before: what is run untimed before each function. The same for all, it leaves caches and cores in
        one state; the function itself does not pay for what another library leaves behind, such as
        threads that still spin.
    """

    def run(function: Callable[[], Any]) -> float:
        start = time.perf_counter()
        jax.block_until_ready(function())
        return 1e3 * (time.perf_counter() - start)

    first: dict[str, Figures] = {}
    for _ in range(warm):
        for name, function in functions.items():
            first.setdefault(name, {"first_s": run(function) / 1e3})
    rounds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(repeats):
        for name, function in functions.items():
            if number >= 3 and sum(rounds[name]) > 1e3 * seconds_each:
                continue  # for good: its sum does not change
            if before:
                run(before[name])
            rounds[name].append(run(function))
    return {
        name: {
            "ms": statistics.median(times),
            "quartiles_ms": np.percentile(times, [25, 75]).tolist(),
            "rounds_ms": [round(t, 4) for t in times],
            **first.get(name, {}),
        }
        for name, times in rounds.items()
    }


def with_ratios(times: Figures, **ratios: tuple[str, str]) -> Figures:
    """Add ratios of medians to figures: of two functions by name, where both were timed.

    >>> with_ratios({"a": {"ms": 6.0}, "b": {"ms": 2.0}}, over=("a", "b"), speedup=("c", "a"))
    {'a': {'ms': 6.0}, 'b': {'ms': 2.0}, 'over': 3.0}
    """
    both = {name: pair for name, pair in ratios.items() if {*pair} <= times.keys()}
    return times | {name: times[a]["ms"] / times[b]["ms"] for name, (a, b) in both.items()}


def times_of(own: Mapping[str, Any], base: Mapping[str, Any]) -> float:
    """Return how many times another method's time a method takes: a Hodges-Lehmann estimate.

    The median of x / y over every round x of the one and every round y of the other, of all
    processes. A disturbance of a third of the rounds hardly moves it. Source: Hodges and Lehmann, 1963.

    >>> times_of({"rounds_ms": [[2.0, 9.0], [2.0]]}, {"rounds_ms": [[1.0, 1.0, 1.0], [5.0]]})
    2.0
    """
    mine, other = (np.concatenate(each["rounds_ms"]) for each in (own, base))
    return float(np.median(np.divide.outer(mine, other)))


def more_than(own: Mapping[str, Any], base: Mapping[str, Any]) -> float:
    """Return how many milliseconds more than another method a method takes, by the same estimate."""
    mine, other = (np.concatenate(each["rounds_ms"]) for each in (own, base))
    return float(np.median(np.subtract.outer(mine, other)))


@contextlib.contextmanager
def count_compilations() -> Iterator[collections.Counter[str]]:
    """Count what JAX traces and compiles (``traced``, ``compiled``), whoever asks for it."""
    counts = collections.Counter(traced=0, compiled=0)

    def listen(event: str, duration: float, **_: Any) -> None:
        if event in COUNTED:
            counts[COUNTED[event]] += 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield counts
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def merge(runs: Sequence[Figures]) -> Figures:
    """Return the figures of a point from those of several processes: medians, and all rounds.

    A method without figures in one process has none. Of shares that should be one (``valid``,
    ``of_exact``) the least counts.

    >>> one = {"floors": {"ms": 1.0}, "methods": {"a": {"rounds_ms": [[1.0]], "valid": 1.0}}}
    >>> two = {"floors": {"ms": 3.0}, "methods": {"a": {"rounds_ms": [[3.0]], "valid": 0.5}}}
    >>> merge([one, two])
    {'floors': {'ms': 2.0}, 'methods': {'a': {'rounds_ms': [[1.0], [3.0]], 'valid': 0.5}}}
    """
    merged: Figures = {}
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
