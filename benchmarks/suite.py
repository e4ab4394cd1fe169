"""The suite: every method on the same logits and models, each answer checked before it is timed."""

import gc
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from benchmarks.methods.static_code import NAME as STATIC_CODE
from benchmarks.methods.static_code import available
from benchmarks.process import Figures, in_own_process
from benchmarks.record import Points
from benchmarks.timing import interleave, merge, more_than, times_of
from benchmarks.workload import Point, Search, Workload, floor, prepare

Preset = Literal["smoke", "bars", "paper", "models"]

WITH_MODEL = ("unconstrained", "genret", "static-style", "ppv-incremental", "cpu-trie")
"""Methods that are timed as part of a transformer's search."""
OF_PAPER = (
    "unconstrained", "genret", "static-style", "hash-bitmap", "ppv-top50", "ppv-exact", "cpu-trie",
)  # fmt: skip
"""The paper's methods, and ours."""
LIVE = ("unconstrained", "genret", "static-style", "ppv-incremental", "dense-bitmask")
"""Methods that are timed while the catalog changes, or under filters."""

SMALL = Point(items=2000, codes=64, depth=3, beams=8, repeats=3)
FEW = replace(SMALL, methods=("unconstrained", "genret", "static-style"))
BASE = Point(items=10**5, depth=4, processes=3)
LIVE_BASE = replace(BASE, methods=LIVE)
# Beside a model's time what differs by process is nothing.
IN_MODEL = replace(BASE, methods=WITH_MODEL, repeats=15, seconds=30, processes=1)
PAPER = Point(items=10**7, methods=OF_PAPER, repeats=25, seconds=30, processes=1)

POINTS: dict[Preset, list[Point]] = {
    # Every method and a model, small enough for a test.
    "smoke": [
        SMALL,
        replace(FEW, kind="zipf"),
        replace(FEW, filters=2),
        replace(FEW, inserted=0.01),
        replace(FEW, model="0.3M"),
    ],
    # The axes in a quarter of an hour: |C|, V, skew, filters, updates, and two models.
    "bars": [
        replace(BASE, codes=256),
        BASE,
        replace(BASE, items=10**6, codes=256),
        replace(BASE, items=10**6),
        replace(BASE, items=10**6, kind="zipf"),
        replace(BASE, codes=256, kind="tokenized"),
        replace(LIVE_BASE, filters=2),
        *(replace(LIVE_BASE, inserted=share) for share in (0.001, 0.01)),
        *(replace(IN_MODEL, model=size) for size in ("0.3M", "30M")),
    ],
    # Tables 1 and 4 of the STATIC paper as far as a host's memory goes.
    "paper": [
        *(replace(PAPER, items=items) for items in (10**5, 10**6, 10**7)),
        *(replace(PAPER, codes=v) for v in (256, 512, 1024, 4096, 8192, 16_384, 32_768)),
        replace(PAPER, model="30M"),
    ],
    # What a constraint costs inside of models, the largest among them.
    "models": [
        replace(IN_MODEL, items=10**6, depth=8, repeats=5, seconds=120, model=size)
        for size in ("0.3M", "30M", "300M")
    ],
}
"""Named lists of points."""

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
        share = replace(point, seconds=point.seconds / count, repeats=repeats)
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
