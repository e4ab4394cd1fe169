"""The suite: every method on the same logits and models, each answer checked before it is timed."""

import dataclasses
import gc
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.draws import floor
from benchmarks.methods.static_code import NAME as STATIC_CODE
from benchmarks.methods.static_code import available
from benchmarks.process import Figures, in_own_process
from benchmarks.record import Points
from benchmarks.timing import interleave, merge, more_than, times_of
from benchmarks.workload import Point, Search, Workload, prepare

QUEUE = 6
"""Searches that are asked for before any is waited for."""

QUEUED_MS = 1000.0
"""A search that takes longer is not queued: the host's part of it is nothing."""


def points(chosen: Sequence[Point]) -> Points:
    """Return what measures each point."""
    return {point.key: partial(_measured, point) for point in chosen}


def _measured(point: Point) -> Figures:
    """Measure in this process, or in several that share the rounds, one after the other.

    What went wrong with all of a point is said by each of its methods.
    """
    count = point.processes
    try:
        if not count:
            return measure(point)
        repeats = math.ceil(point.repeats / count)
        share = dataclasses.replace(point, seconds=point.seconds / count, repeats=repeats)
        figures = merge([in_own_process(measure, share) for _ in range(count)])
    except Exception as e:  # a point that is killed is recorded, not dropped
        error = {"error": f"{type(e).__name__}: {e}"}
        return {"sizes": point.sizes(), "methods": dict.fromkeys(point.methods, error)}
    beside_first(figures["methods"], point)
    return figures | {"sizes": point.sizes()}


def measure(point: Point) -> Figures:
    """Build, check and time the methods of a point; of one without figures, ``error`` says why."""
    work = Workload.of(point)
    figures: dict[str, Figures] = {}
    ready: dict[str, Search] = {}
    # STATIC's own code is timed where there is a checkout of it, and logits are given.
    rival = (STATIC_CODE,) if available() and point.model is None else ()
    for name in (*point.methods, *rival):
        figures[name], _, search = prepare(name, work)
        if search is not None:
            ready[name] = search
    each = point.seconds / max(1, len(ready))
    floors = {} if point.model else {"logsumexp": partial(floor, work.model, work.history)}
    timed = ready | floors
    before = dict.fromkeys(timed, floors["logsumexp"]) if floors else None
    times = interleave(timed, point.repeats, warm=1, seconds_each=each, before=before)
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
    found = {f"{name}_ms": times[name]["ms"] for name in floors}
    del ready, queued, before, floors, timed, work
    gc.collect()  # the next point's indices may be large
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
