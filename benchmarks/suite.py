"""The suite: every method on the same logits and models, each answer checked before it is timed."""

import dataclasses
import gc
import math
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.draws import floor
from benchmarks.methods.static_code import NAME as STATIC_CODE
from benchmarks.methods.static_code import available
from benchmarks.process import Figures, in_own_process
from benchmarks.record import Record
from benchmarks.timing import interleave, merge, more_than, times_of
from benchmarks.workload import Point, Search, Workload, prepare
from genret.errors import GenretError

QUEUE = 6
"""Searches that are asked for before any is waited for."""

QUEUED_MS = 1000.0
"""A search that takes longer is not queued: the host's part of it is nothing."""


def run(
    points: Sequence[Point],
    record: Record,
    say: Callable[[str, Figures], object],
    data: Path | None = None,
) -> None:
    """Measure the points that a record does not have yet; ``say`` is told of each whole point.

    The speed of a machine drifts for minutes. So the processes of a point are spread over the run:
    every point is measured by its first process, then every point by its second. Until a point is
    whole, the record holds what each process measured as a point of its own.
    """
    turns = max([1, *(point.processes for point in points)])
    for turn in range(turns):
        for point in points:
            # All are whole in the last turn, in order.
            part = turn - turns + max(1, point.processes)
            if record.has(point.key) or part < 0:
                continue
            if not point.processes:
                say(point.key, record.add(point.key, measure(point, data)))
                continue
            keys = [f"{point.key}, process {n}" for n in range(point.processes)]
            record.point(keys[part], partial(_apart, _share(point), data))
            if part + 1 == point.processes:
                parts = [record.points.pop(key) for key in keys]
                say(point.key, record.add(point.key, _whole(point, parts)))


def _apart(share: Point, data: Path | None) -> Figures:
    """Measure in a process of its own.

    Raises:
      GenretError: the process was killed.
    """
    try:
        return in_own_process(measure, share, data)
    except BrokenProcessPool:
        raise GenretError("the process of this point was killed (out of memory?)") from None


def _share(point: Point) -> Point:
    """Return what one of a point's processes measures."""
    count = point.processes
    repeats = math.ceil(point.repeats / count)
    return dataclasses.replace(point, seconds=point.seconds / count, repeats=repeats)


def _whole(point: Point, parts: Sequence[Figures]) -> Figures:
    """Put together what the processes of a point measured; one that was killed leaves an error."""
    errors = [part["error"] for part in parts if "error" in part]
    if errors:
        return _failed(point, errors[0])
    figures = merge(parts) | {"sizes": point.sizes()}
    beside_first(figures["methods"], point)
    return figures


def measure(point: Point, data: Path | None = None) -> Figures:
    """Build, check and time the methods of a point.

    Args:
      point: the point.
      data: folder of the shipped code sets.

    Returns:
      The point's ``sizes``, the ``floors``, and of each of the ``methods`` its figures, or ``error``: why
      there are none.
    """
    try:
        work = Workload.of(point, data)
    except GenretError as e:  # no data: the point is recorded, not dropped
        return _failed(point, f"{type(e).__name__}: {e}")
    figures: dict[str, Figures] = {}
    ready: dict[str, Search] = {}
    # STATIC's own code is timed where there is a checkout of it, and logits are given.
    rival = (STATIC_CODE,) if available() and point.model is None else ()
    for name in (*point.methods, *rival):
        figures[name], _, search = prepare(name, work)
        if search is not None:
            ready[name] = search
    each = point.seconds / max(1, len(ready))
    before = None if point.model is not None else partial(floor, work.model, work.history)
    floors = {} if before is None else {"logsumexp": before}
    times = interleave(ready | floors, point.repeats, warm=1, seconds_each=each, before=before)
    quick = [name for name in ready if times[name]["ms"] <= QUEUED_MS]
    queued = {name: partial(_queue, ready[name]) for name in quick}
    rounds = 3 if point.processes > 1 else min(7, point.repeats)
    in_queue = interleave(queued, rounds, warm=1, seconds_each=each)
    for name, own in ((name, figures[name]) for name in ready):
        own |= {k: v for k, v in times[name].items() if k != "first_s"}
        own["rounds_ms"] = [own["rounds_ms"]]  # of this process
        own["step_ms"] = own["ms"] / point.depth
        if name in in_queue:
            own["queued_ms"] = in_queue[name]["ms"] / QUEUE
    del ready, queued, before, floors, work
    gc.collect()  # the next point's indices may be large
    found = {"logsumexp_ms": times["logsumexp"]["ms"]} if point.model is None else {}
    return {"sizes": point.sizes(), "floors": found, "methods": beside_first(figures, point)}


def beside_first(figures: dict[str, Figures], point: Point) -> dict[str, Figures]:
    """Add to the figures of each method how its time stands to that of the point's first method."""
    first = figures.get(point.methods[0], {})
    for own in figures.values():
        if "rounds_ms" in own and "rounds_ms" in first:
            own["over_first_ms"] = more_than(own, first) / point.depth
            own["times_first"] = times_of(own, first)
    return figures


def _queue(search: Search) -> list[Any]:
    """Ask for several searches without waiting: what the device needs for one, without the host."""
    return [search() for _ in range(QUEUE)]


def _failed(point: Point, error: str) -> Figures:
    return {"sizes": point.sizes(), "methods": {name: {"error": error} for name in point.methods}}
